// The two-minute tour: one dialog after another beside the part of the page it speaks of. Enter or the buttons go on,
// Escape ends it; the browser's own <dialog> keeps the focus and gives it back.
(() => {
  function place(dialog, target) {
    const box = target.getBoundingClientRect();
    const size = dialog.getBoundingClientRect();
    const beside = box.right + size.width + 24 < innerWidth ? box.right + 12 : Math.max(12, box.left - size.width - 12);
    const inside = box.width > innerWidth / 3;
    const left = inside ? box.left + 24 : beside;
    const top = inside ? box.top + 24 : box.bottom + size.height + 24 < innerHeight ? box.bottom + 10 : box.top;
    dialog.style.left = `${Math.min(Math.max(12, left), innerWidth - size.width - 12)}px`;
    dialog.style.top = `${Math.min(Math.max(12, top), innerHeight - size.height - 12)}px`;
  }

  function start(steps, words) {
    document.querySelector("dialog.dx-tour")?.remove();
    const dialog = document.createElement("dialog");
    dialog.className = "dx-tour";
    dialog.setAttribute("aria-labelledby", "dx-tour-title");
    dialog.setAttribute("aria-describedby", "dx-tour-text");
    const title = document.createElement("h2");
    const text = document.createElement("p");
    const count = document.createElement("small");
    const [back, skip, next] = [words.back, words.skip, words.next].map((label) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      return button;
    });
    title.id = "dx-tour-title";
    text.id = "dx-tour-text";
    next.className = "dx-tour-next";
    const row = document.createElement("div");
    row.append(count, skip, back, next);
    dialog.append(title, text, row);
    document.body.append(dialog);
    let at = 0;
    const mark = (on) => document.querySelector(steps[at].at)?.classList.toggle("dx-tour-here", on);
    const show = (to) => {
      mark(false);
      at = to;
      mark(true);
      title.textContent = steps[at].title;
      text.textContent = steps[at].text;
      count.textContent = `${at + 1} / ${steps.length}`;
      back.disabled = at === 0;
      next.textContent = at + 1 < steps.length ? words.next : words.done;
      const target = document.querySelector(steps[at].at);
      if (target) place(dialog, target);
      next.focus();
    };
    back.addEventListener("click", () => show(at - 1));
    next.addEventListener("click", () => (at + 1 < steps.length ? show(at + 1) : dialog.close()));
    skip.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      mark(false);
      dialog.remove();
    });
    dialog.showModal();
    show(0);
  }

  window.DeixisTour = { start };
})();
