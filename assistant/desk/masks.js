// The list of masks in the viewer: show or hide, colour, outline or fill, opacity, uncertainty; each alone or all at once.
// What is shown and hidden, and the uncertainty, are the seat's; the look is this page's.
(() => {
  "use strict";

  const OPACITY = 0.55;
  const DIMMED = 0.2;
  // Matplotlib's "inferno" (CC0): even steps of lightness, so it can be read without telling colours apart.
  const HEAT = [
    { at: 0, rgb: [0, 0, 4], alpha: 0 }, { at: 12, rgb: [20, 11, 52], alpha: 110 }, { at: 64, rgb: [87, 16, 110], alpha: 170 },
    { at: 128, rgb: [188, 55, 84], alpha: 210 }, { at: 192, rgb: [249, 142, 9], alpha: 230 }, { at: 255, rgb: [252, 255, 164], alpha: 240 },
  ];

  const hex = (rgb) => `#${rgb.map((v) => v.toString(16).padStart(2, "0")).join("")}`;
  const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

  globalThis.DeixisMasks = class {
    // changed(): a look has changed. toggle({id}), doubt({id}): the seat is asked. words: texts.VIEWER.
    constructor(list, { changed, toggle, doubt }, words) {
      this.list = list;
      this.words = words;
      this.tell = { changed, toggle, doubt };
      this.looks = new Map(); // id -> {url, rgb, opacity, outline, hidden}
      this.opacity = OPACITY;
      this.outline = false;
      list.addEventListener("input", (event) => this._changed(event));
      list.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) this.tell.doubt({ id: button.closest("li").dataset.mask });
      });
    }

    reset() {
      for (const id of this.looks.keys()) document.documentElement.style.removeProperty(`--dx-${id}`);
      this.looks.clear();
    }

    setAll(look) {
      Object.assign(this, look);
      for (const one of this.looks.values()) Object.assign(one, look);
      this.tell.changed();
    }

    // What the engine draws: the seat's masks with their looks, and the uncertainty above them. lit: the id of the mask
    // that is pointed at, which dims the others, or "".
    drawn(want, lit) {
      const masks = (want.overlays || []).map((mask) => {
        const { rgb, opacity, outline, hidden } = this._look(mask);
        const full = outline ? 1 : opacity;
        return { ...mask, rgb, outline, opacity: !mask.visible || hidden ? 0 : lit && lit !== mask.id ? DIMMED * full : full };
      });
      const { doubt } = want;
      if (!doubt || !doubt.url) return masks;
      return [...masks, { id: `${doubt.id}?`, url: doubt.url, file: doubt.file, rgb: [0, 0, 0], heat: HEAT, opacity: 1, outline: false }];
    }

    // An id can come back with another mask: then it has the look of a new one.
    _look(mask) {
      const have = this.looks.get(mask.id);
      if (have && have.url === mask.url) return have;
      const look = { url: mask.url, rgb: mask.rgb, opacity: this.opacity, outline: this.outline, hidden: false };
      this.looks.set(mask.id, look);
      document.documentElement.style.removeProperty(`--dx-${mask.id}`);
      return look;
    }

    // The rows are kept as long as the masks are the same, so that nothing is pulled from under a hand.
    show(want) {
      const masks = want.overlays || [];
      const key = masks.map((mask) => `${mask.id} ${mask.url}`).join();
      if (key !== this.key) this.list.replaceChildren(...masks.map((mask) => this._row(mask)));
      this.key = key;
      if (!masks.length) this.list.replaceChildren(made("li", { className: "dx-none", textContent: this.words.no_masks }));
      for (const mask of masks) {
        const row = this.list.querySelector(`[data-mask="${mask.id}"]`);
        const look = this._look(mask);
        row.querySelector("[type=checkbox]").checked = mask.visible && !look.hidden;
        row.querySelector("[type=range]").value = 100 * look.opacity;
        row.querySelector("select").value = look.outline ? "outline" : "fill";
        const button = row.querySelector("button");
        if (!button) continue;
        const mine = Boolean(want.doubt) && want.doubt.id === mask.id;
        button.setAttribute("aria-pressed", String(mine));
        button.disabled = mine && !want.doubt.url;
      }
    }

    _row(mask) {
      const row = document.createElement("li");
      row.dataset.mask = mask.id;
      const name = `${mask.id} ${mask.phrase}`;
      const { words } = this;
      const of = (text) => text.replace("{mask}", () => name);
      const label = document.createElement("label");
      label.append(made("input", { type: "checkbox", ariaLabel: of(words.show_mask) }), made("span", { textContent: name, title: name }));
      const how = made("select", { ariaLabel: of(words.drawing_of) });
      how.append(new Option(words.fill, "fill"), new Option(words.outline, "outline"));
      row.append(
        label,
        made("input", { type: "color", value: hex(this._look(mask).rgb), ariaLabel: of(words.colour_of) }),
        how,
        made("input", { type: "range", min: 5, max: 100, ariaLabel: of(words.opacity_of) }),
      );
      const prior = mask.id.startsWith("p");
      row.append(prior ? document.createElement("span") : made("button", {
        type: "button", textContent: words.doubt, ariaLabel: of(words.doubt_of), title: words.doubt_how,
      }));
      return row;
    }

    _changed(event) {
      const { type, value, tagName } = event.target;
      const { mask: id } = event.target.closest("li").dataset;
      const look = this.looks.get(id);
      if (type === "checkbox" && id.startsWith("p")) look.hidden = !event.target.checked;
      else if (type === "checkbox") {
        this.tell.toggle({ id });
        return;
      } else if (type === "color") {
        look.rgb = [1, 3, 5].map((k) => parseInt(value.slice(k, k + 2), 16));
        document.documentElement.style.setProperty(`--dx-${id}`, value); // the chips of the whole page follow
      } else if (type === "range") look.opacity = Number(value) / 100;
      else if (tagName === "SELECT") look.outline = value === "outline";
      this.tell.changed();
    }
  };
})();
