// The conversation's chips and what they have to do with the viewer. Chips are buttons: name="mask", value = the id.
// Hovering or focusing one lights its mask (the others are dimmed) and takes the crosshair there; clicking it selects
// the mask. A click on a mask in the viewer marks its table row and its sentence. What a `title` says is shown on focus
// too. What the server must know goes as a "deixis" event to the relay (assistant/desk/talk.py).
(() => {
  "use strict";

  const DELAY = 160; // ms that a chip is hovered before the viewer moves
  let waiting = 0;
  let lit = "";
  let drawing = false;

  const find = (selector) => document.querySelector(selector);
  const stage = () => find(".dx-stage");
  const tell = (act, more) => document.dispatchEvent(new CustomEvent("deixis", { detail: { act, ...more } }));
  const maskOf = (element) => {
    const chip = element.closest("button[name='mask'], [data-look], [data-select]");
    return chip ? chip.value || chip.dataset.select || chip.dataset.look || "" : "";
  };

  function light(id, move) {
    if (id === lit && !move) return;
    lit = id;
    const viewer = find(".dx-viewer");
    if (viewer) viewer.dispatchEvent(new CustomEvent("deixis-light", { detail: { id, move } }));
  }

  // ---- tips: the title, for the mouse and for the keyboard ---------------------------------------------------------

  function tip(element) {
    let box = find("#dx-tip");
    if (!box) {
      box = Object.assign(document.createElement("div"), { id: "dx-tip" });
      box.setAttribute("role", "tooltip");
      document.body.append(box);
    }
    if (element && element.title) {
      element.setAttribute("aria-description", element.title);
      element.removeAttribute("title"); // else the browser shows it once more
    }
    const text = element ? element.getAttribute("aria-description") : "";
    box.hidden = !text;
    if (!text) return;
    box.textContent = text;
    const place = element.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - box.offsetWidth - 8))}px`;
    const above = place.top - box.offsetHeight - 6;
    box.style.top = `${above > 4 ? above : place.bottom + 6}px`;
  }

  const TIPPED = "button[name='mask'], button[name='how'], .dx-absent-chip, .dx-untaught-chip, .dx-made";

  function enter(event) {
    const element = event.target.closest && event.target.closest(TIPPED);
    tip(element);
    const id = event.target.closest ? maskOf(event.target) : "";
    clearTimeout(waiting);
    if (id) waiting = setTimeout(() => light(id, true), event.type === "focusin" ? 0 : DELAY);
    else light("", false);
  }

  document.addEventListener("mouseover", enter);
  document.addEventListener("focusin", enter);
  document.addEventListener("focusout", () => tip(null));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip(null); });

  // ---- clicks on chips and on the buttons that stand in messages ---------------------------------------------------

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const id = button.dataset.look ? "" : maskOf(button);
    if (id) {
      light(id, true);
      tell("pick", { id });
    } else if (button.name === "go" || button.name === "way") {
      tell(button.name, { step: Number(button.value) });
    }
  });

  // ---- a mask that is clicked on in the viewer ---------------------------------------------------------------------

  function mark(id) {
    for (const old of document.querySelectorAll(".dx-marked")) old.classList.remove("dx-marked");
    if (!id) return;
    const row = find(`.dx-findings tr[data-id="${id}"]`);
    const chips = document.querySelectorAll(`#dx-chat button[name="mask"][value="${id}"]`);
    const said = chips.length ? chips[chips.length - 1].closest(".dx-said") : null;
    for (const one of [row, said]) {
      if (!one) continue;
      one.classList.add("dx-marked");
      one.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }
  }

  function under() {
    const chip = find(".dx-under .dx-chip");
    return chip ? chip.textContent.split(" ")[0] : "";
  }

  const here = () => (find(".dx-viewer").dataset.mm || "").split(",").map(Number);

  // ---- a box drawn on a slice: its corners are where the crosshair was when the drag began and ended ----------------

  function boxOf(from, to) {
    const sides = from.map((v, k) => Math.abs(v - to[k]));
    const wide = sides.filter((side) => side > 0.5);
    if (wide.length < 2) return null;
    // as deep as it is wide on the mean, with the slice in the middle
    const depth = wide.reduce((sum, side) => sum + side, 0) / wide.length;
    const low = from.map((v, k) => Math.min(v, to[k]) - (sides[k] > 0.5 ? 0 : depth / 2));
    const high = from.map((v, k) => Math.max(v, to[k]) + (sides[k] > 0.5 ? 0 : depth / 2));
    return [...low, ...high];
  }

  function follow() {
    let start = null;
    let frame = null;
    const begun = () => { start = start || here(); };
    const rubber = (event) => {
      const box = stage().getBoundingClientRect();
      let line = stage().querySelector(".dx-rubber");
      if (!line) {
        line = Object.assign(document.createElement("div"), { className: "dx-rubber" });
        stage().append(line);
      }
      line.style.left = `${Math.min(frame.x, event.clientX) - box.left}px`;
      line.style.top = `${Math.min(frame.y, event.clientY) - box.top}px`;
      line.style.width = `${Math.abs(event.clientX - frame.x)}px`;
      line.style.height = `${Math.abs(event.clientY - frame.y)}px`;
    };
    document.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !stage() || !stage().contains(event.target)) return;
      frame = { x: event.clientX, y: event.clientY };
      start = null;
      setTimeout(begun, 0); // the engine has moved the crosshair by then
    }, true);
    document.addEventListener("pointermove", (event) => {
      if (frame) begun(); // moves come before timers where drawing takes long
      if (drawing && frame && event.buttons & 1) rubber(event);
    }, true);
    document.addEventListener("pointerup", (event) => {
      if (!frame) return;
      const far = Math.hypot(event.clientX - frame.x, event.clientY - frame.y) > 5;
      frame = null;
      setTimeout(() => {
        const line = find(".dx-rubber");
        if (line) line.remove();
        if (!drawing) {
          if (!far) mark(under());
          return;
        }
        const box = far && start ? boxOf(start, here()) : null;
        if (box) {
          setDrawing(false);
          tell("box", { box });
        }
      }, 60);
    }, true);
  }

  function setDrawing(on) {
    drawing = on;
    const button = find("#dx-box-tool");
    if (button) button.setAttribute("aria-pressed", String(on));
    if (stage()) stage().classList.toggle("dx-drawing", on);
  }

  document.addEventListener("click", (event) => { if (event.target.id === "dx-box-tool") setDrawing(!drawing); });
  follow();
  globalThis.DeixisTalk = { mount: (trigger) => {
    document.addEventListener("deixis", (event) => trigger(event.detail.act, event.detail));
  } };
})();
