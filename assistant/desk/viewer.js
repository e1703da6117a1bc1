// The desk's viewer: a tool bar, a stage, a read-out line. It is mounted by a gr.HTML component and knows nothing of
// sessions: `props.value` is a JSON text (written by assistant/desk/page.py) that says what is to be seen, `emit`
// carries what the reader did, and `words` are texts.VIEWER. Coordinates are RAS+ millimetres everywhere.
//
// Two engines draw the stage: NiiVue where it is installed and the browser has WebGL2 (niivue_engine.js), plain slices
// on a 2D canvas (slices.js) elsewhere. Both have the same methods: setScan, setOverlays, setPoints, setLayout,
// setWindow, setRadiological, setScanIn3D, planeAt, moveTo, picture. Wheel, keys and the window are the viewer's own.
(() => {
  "use strict";

  const { Grid, PLANES, flipped } = globalThis.DeixisGrid;
  const LAYOUTS = ["all", "axial", "coronal", "sagittal", "3d"];

  const hasWebGL2 = () => Boolean(document.createElement("canvas").getContext("webgl2"));
  const signed = (text) => text.replace("-", "−");
  const format = (mm) => mm.map((v) => signed((Math.abs(v) < 0.05 ? 0 : v).toFixed(1))).join(", ");
  // "{id} of {name}" with those two filled in
  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const short = (value) => signed(Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(2) : value.toFixed(0));

  class Viewer {
    constructor(element, emit, props, words) {
      this.element = element;
      this.emit = emit;
      this.props = props;
      this.words = words;
      this.at = null; // RAS+ mm of the crosshair
      this.plane = "axial"; // the one the keys are about
      this.layout = "all";
      this.radiological = true;
      this.want = {};
      this.shown = { scan: null, focus: 0, points: "[]" };
      this.queue = Promise.resolve();
      this.find = (selector) => element.querySelector(selector);
      this.masks = new globalThis.DeixisMasks(this.find(".dx-masks"), {
        changed: () => this.sync(), toggle: (mask) => emit.toggle(mask), doubt: (mask) => emit.doubt(mask),
      }, words);
    }

    async start() {
      const canvas = this.find("canvas");
      const here = (...found) => this._located(...found);
      const gl = globalThis.niivue !== undefined && hasWebGL2();
      this.engine = gl ? await globalThis.DeixisNiiVue.create(canvas, here) : new globalThis.DeixisSlices(canvas, here);
      this.element.dataset.engine = this.engine.kind;
      this.linked = new globalThis.DeixisLinked(this.find(".dx-earlier"), gl ? ["coronal", "sagittal", "axial"] : undefined, {
        moved: (mm) => this.engine.moveTo(mm), wheel: (plane, event) => this._turned(plane, event),
      });
      if (!gl) {
        this.find("[data-layout='3d']").remove();
        this.find("[data-act='scan3d']").remove();
        this._say(globalThis.niivue === undefined ? this.words.no_niivue : this.words.no_webgl, 8000);
      }
      this.element.addEventListener("click", (event) => this._clicked(event));
      // the chat or the table points at a mask: it is lit, and with `move` the crosshair goes to it
      this.element.addEventListener("deixis-light", ({ detail: { id, move } }) => {
        this.lit = id;
        const mask = (this.want.overlays || []).find((o) => o.id === id);
        if (move && mask && mask.centre) this.engine.moveTo(mask.centre);
        this.sync();
      });
      this.find("[data-act='opacity']").addEventListener("input", (event) => this.masks.setAll({ opacity: event.target.value / 100 }));
      this.find("[data-act='window']").addEventListener("change", (event) => this._window(...event.target.value.split(",").map(Number)));
      for (const name of ["level", "width"]) this.find(`[data-act='${name}']`).addEventListener("change", () => this._typedWindow());
      this.find(".dx-keys").append(...this.words.key_list.flatMap(([key, what]) => [
        Object.assign(document.createElement("dt"), { textContent: key }), Object.assign(document.createElement("dd"), { textContent: what }),
      ]));
      this._handlePanels();
      this._handleStage();
      this._acceptDrops();
      this.sync();
    }

    // What is wanted may change faster than files load: each step goes to the newest wish, in order.
    sync() {
      this.queue = this.queue.then(() => this._step()).catch((error) => {
        this._say(filled(this.words.failed, { error: error.message || error }), 0);
        throw error;
      });
      return this.queue;
    }

    async _step() {
      this.want = JSON.parse(this.props.value || "{}");
      const scan = this.want.scan || null;
      this.element.classList.toggle("dx-empty", !scan);
      if ((scan && scan.url) !== (this.shown.scan && this.shown.scan.url)) {
        this.element.dataset.scan = "";
        this._say(scan ? this.words.loading : "", 0);
        this.masks.reset();
        this.grid = scan && new Grid(scan.shape, scan.affine);
        this.exact = scan && scan.exact && { ...scan.exact, grid: new Grid(scan.exact.shape, scan.exact.affine) };
        this._presets(scan);
        await this.engine.setScan(scan);
        this.shown = { scan, focus: this.want.focus ? this.want.focus.n : 0, points: "[]" };
        if (scan) this._window(...scan.window);
        this.find("[data-act='picture']").disabled = !scan;
        this.element.dataset.scan = scan ? scan.url : "";
        this._say("", 0);
      }
      this.masks.show(this.want);
      if (!scan) return;
      const lit = this.lit || this.want.selected || "";
      const drawn = this.masks.drawn(this.want, lit);
      await this.engine.setOverlays(drawn);
      this.element.dataset.overlays = drawn.filter((o) => o.opacity > 0 && !o.heat).map((o) => o.id).join(" ");
      this.element.dataset.lit = drawn.some((o) => o.id === lit) ? lit : "";
      this._doubt(this.want.doubt);
      await this._showEarlier(drawn);
      const points = JSON.stringify(this.want.points || []);
      if (points !== this.shown.points) {
        this.engine.setPoints(this.want.points || []);
        this.shown.points = points;
      }
      if (this.want.focus && this.want.focus.n !== this.shown.focus) {
        this.shown.focus = this.want.focus.n;
        this.engine.moveTo(this.want.focus.mm);
      }
    }

    // The earlier scan beside this one, with the masks that were found in it.
    async _showEarlier(drawn) {
      const { earlier } = this.want;
      const button = this.find("[data-act='earlier']");
      button.hidden = !earlier;
      const on = Boolean(earlier) && button.getAttribute("aria-pressed") === "true";
      this.find(".dx-stage .dx-caption").hidden = !on;
      if (on) this.find(".dx-earlier .dx-caption").textContent = filled(this.words.earlier_caption, { name: earlier.name });
      const { at: mm, range, layout, radiological } = this;
      await this.linked.show(on ? earlier : null, drawn.filter((o) => o.id.startsWith("p")), { mm, range, layout, radiological });
      this.element.dataset.earlier = on ? earlier.url : "";
    }

    _doubt(doubt) {
      const legend = this.find(".dx-heat");
      legend.hidden = !(doubt && doubt.url);
      legend.firstElementChild.textContent = doubt ? filled(this.words.doubt_of, { mask: doubt.id }) : "";
      if (doubt && !doubt.url) this._say(filled(this.words.doubting, { mask: doubt.id }), 0);
      else if (this.computing) this._say("", 0);
      this.computing = Boolean(doubt && !doubt.url);
      this.element.dataset.doubt = doubt && doubt.url ? doubt.id : "";
    }

    // ---- the grey window ---------------------------------------------------------------------------------------

    _presets(scan) {
      const select = this.find("[data-act='window']");
      select.replaceChildren(...(scan ? scan.windows : []).map((preset) => new Option(preset.name, preset.range.join(","))));
    }

    _window(low, high) {
      this.range = [low, high];
      this.element.dataset.window = this.range.join(",");
      const select = this.find("[data-act='window']");
      const custom = select.querySelector("[data-custom]");
      const own = [...select.options].find((option) => option !== custom && option.value === this.range.join(","));
      if (own) {
        if (custom) custom.remove();
        own.selected = true;
      } else {
        const option = custom || new Option(this.words.custom);
        option.dataset.custom = "";
        option.value = this.range.join(",");
        select.append(option);
        option.selected = true;
      }
      const digits = high - low < 20 ? 2 : 0;
      this.find("[data-act='level']").value = ((low + high) / 2).toFixed(digits);
      this.find("[data-act='width']").value = (high - low).toFixed(digits);
      this._soon("window", () => {
        this.engine.setWindow(...this.range);
        this.linked.setWindow(...this.range);
      });
    }

    _typedWindow() {
      const [level, width] = ["level", "width"].map((name) => Number(this.find(`[data-act='${name}']`).value));
      if (width > 0) this._window(level - width / 2, level + width / 2);
      else this._window(...this.range); // puts back what was there
    }

    // Dragging to the right widens the window, dragging up makes the picture brighter.
    _dragWindow(event) {
      const [low, high] = this.range;
      const [x, y, step] = [event.clientX, event.clientY, (high - low) / 250];
      const stage = this.find(".dx-stage");
      const move = (now) => {
        const width = Math.max(step, high - low + (now.clientX - x) * step);
        const level = (low + high) / 2 + (now.clientY - y) * step;
        this._window(level - width / 2, level + width / 2);
      };
      const end = () => {
        stage.removeEventListener("pointermove", move);
        for (const name of ["pointerup", "pointercancel"]) stage.removeEventListener(name, end);
      };
      stage.setPointerCapture(event.pointerId);
      stage.addEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, end);
    }

    // At most once a frame, with the newest.
    _soon(what, act) {
      this.soon = this.soon || new Map();
      if (!this.soon.has(what)) requestAnimationFrame(() => {
        const newest = this.soon.get(what);
        this.soon.delete(what);
        newest();
      });
      this.soon.set(what, act);
    }

    // ---- wheel, keys, pointer ----------------------------------------------------------------------------------

    _planeAt(event) {
      const frame = this.find("canvas").getBoundingClientRect();
      return this.engine.planeAt(event.clientX - frame.left, event.clientY - frame.top);
    }

    // All in the capturing phase: NiiVue has listeners of its own on the canvas.
    _handleStage() {
      const stage = this.find(".dx-stage");
      const catching = (name, act) => stage.addEventListener(name, (event) => {
        if (this.at && act(event)) {
          event.preventDefault();
          event.stopPropagation();
        }
      }, { capture: true, passive: false });
      catching("wheel", (event) => {
        const plane = this._planeAt(event);
        if (PLANES[plane]) this._turned(plane, event);
        return Boolean(PLANES[plane]);
      });
      catching("pointerdown", (event) => {
        const plane = this._planeAt(event);
        if (PLANES[plane]) this._choose(plane);
        if (event.button !== 2) return false;
        if (PLANES[plane]) this._dragWindow(event);
        return true;
      });
      catching("mousedown", (event) => event.button === 2);
      catching("contextmenu", () => true);
      catching("dblclick", () => true);
      catching("keydown", (event) => {
        event.stopPropagation();
        return !event.ctrlKey && !event.metaKey && !event.altKey && this._key(event.key, event.shiftKey);
      });
    }

    _turned(plane, event) {
      this._choose(plane);
      this._moveBy(PLANES[plane].w, -this._clicksOf(event));
    }

    // A click of a wheel is a slice; the many small turns of a touchpad add up to one.
    _clicksOf({ deltaY, deltaMode }) {
      if (deltaMode || Math.abs(deltaY) >= 50) return Math.sign(deltaY);
      this.turned = (this.turned || 0) + deltaY;
      const clicks = Math.trunc(this.turned / 50);
      this.turned -= 50 * clicks;
      return clicks;
    }

    _key(key, shift) {
      const { u, v, w } = PLANES[this.plane];
      const names = Object.keys(PLANES);
      const turning = this.layout === "3d";
      const far = shift ? 10 : 1;
      const right = flipped(u, this.radiological) ? -far : far;
      const arrows = { ArrowRight: [u, right, 5, 0], ArrowLeft: [u, -right, -5, 0], ArrowUp: [v, far, 0, 5], ArrowDown: [v, -far, 0, -5] };
      const press = (act) => this.find(`[data-act='${act}']`).click();
      const others = {
        PageUp: () => this._moveBy(w, far), PageDown: () => this._moveBy(w, -far),
        Home: () => this.engine.moveTo(this.want.scan.centre),
        p: () => this._choose(names[(names.indexOf(this.plane) + 1) % 3]),
        w: () => this._nextPreset(), r: () => press("radiological"), o: () => press("outline"), s: () => press("picture"),
        m: () => this.emit.toggle({ id: "*" }), "+": () => press("plus"), "=": () => press("plus"), "-": () => press("minus"), "−": () => press("minus"),
        Enter: () => press("what"),
      };
      const layout = LAYOUTS[Number(key) - 1];
      const other = others[key.length === 1 ? key.toLowerCase() : key];
      if (arrows[key] && turning) this.engine.turn(arrows[key][2], arrows[key][3]);
      else if (arrows[key]) this._moveBy(arrows[key][0], arrows[key][1]);
      else if (layout && this.find(`[data-layout='${layout}']`)) this.find(`[data-layout='${layout}']`).click();
      else if (other) other();
      else return false;
      this.speaking = true;
      return true;
    }

    _choose(plane) {
      this.plane = plane;
      this._tellSlice();
    }

    _nextPreset() {
      const select = this.find("[data-act='window']");
      select.selectedIndex = (select.selectedIndex + 1) % this.want.scan.windows.length;
      select.dispatchEvent(new Event("change"));
    }

    // Moves by voxels along an axis; several within a frame become one.
    _moveBy(axis, voxels) {
      this.steps = this.steps || [0, 0, 0];
      this.steps[axis] += voxels;
      this._soon("move", () => {
        const index = this.grid.index(this.at);
        const next = this.grid.clamp(index.map((v, k) => (this.steps[k] ? Math.round(v) + this.steps[k] : v)));
        this.steps = [0, 0, 0];
        this.engine.moveTo(this.grid.world(next));
      });
    }

    // ---- the read-out ------------------------------------------------------------------------------------------

    _located(mm, value, ids, doubt) {
      this.at = mm;
      if (this.linked) this.linked.moveTo(mm);
      this.element.dataset.mm = mm.map((v) => v.toFixed(2)).join(",");
      const [x, y, z] = mm;
      this.find(".dx-mm").textContent = format(mm);
      this.find(".dx-words").textContent = [
        `${Math.abs(x).toFixed(0)} ${x < 0 ? "L" : "R"}`, `${Math.abs(y).toFixed(0)} ${y < 0 ? "P" : "A"}`,
        `${Math.abs(z).toFixed(0)} ${z < 0 ? "I" : "S"}`].join(" ");
      this._tellSlice();
      this._tellValue(value, doubt);
      const under = this.find(".dx-under");
      const found = ids.map((id) => (this.want.overlays || []).find((o) => o.id === id)).filter(Boolean);
      under.replaceChildren(...found.map((overlay) => {
        const chip = Object.assign(document.createElement("span"), { className: "dx-chip", textContent: `${overlay.id} ${overlay.phrase}` });
        chip.title = chip.textContent;
        chip.style.setProperty("--dx", `rgb(${this.masks.looks.get(overlay.id).rgb.join(",")})`);
        return chip;
      }));
      for (const button of this.element.querySelectorAll(".dx-acts button")) button.disabled = false;
      if (this.speaking) {
        clearTimeout(this.speech);
        this.speech = setTimeout(() => {
          this.find(".dx-spoken").textContent = [".dx-slice", ".dx-value", ".dx-under"].map((part) => this.find(part).textContent).filter(Boolean).join(", ");
          this.speaking = false;
        }, 400);
      }
    }

    _tellSlice() {
      if (!this.at || !this.grid) return;
      const grid = this.exact ? this.exact.grid : this.grid;
      const { w } = PLANES[this.plane];
      this.find(".dx-slice").textContent = `${this.words.planes[this.plane]} ${grid.voxel(this.at)[w] + 1} / ${grid.shape[w]}`;
      this.element.dataset.plane = this.plane;
    }

    // An averaged scan has the mean of a few voxels here; the true one is read from the whole scan on the server.
    _tellValue(value, doubt) {
      const unit = this.want.scan ? this.want.scan.unit : "";
      const tell = (number, about) => {
        const text = `${about}${short(number)} ${unit}`.trim();
        this.find(".dx-value").textContent = !doubt ? text : `${text} · ${filled(this.words.unsure, { bits: doubt.toFixed(2) })}`;
      };
      if (value === null) this.find(".dx-value").textContent = "";
      else tell(value, this.exact ? "≈ " : "");
      if (value === null || !this.exact) return;
      const { exact, at } = this;
      clearTimeout(this.asking);
      this.asking = setTimeout(async () => {
        const [i, j, k] = exact.grid.voxel(at);
        const first = 2 * (k + exact.shape[2] * (j + exact.shape[1] * i));
        const answer = await fetch(exact.url, { headers: { Range: `bytes=${first}-${first + 1}` } });
        if (answer.status !== 206 || this.at !== at) return; // another place by now, or a server that would send it all
        tell(new DataView(await answer.arrayBuffer()).getInt16(0, true) * exact.slope + exact.inter, "");
      }, 60);
    }

    // ---- buttons -----------------------------------------------------------------------------------------------

    _clicked(event) {
      const button = event.target.closest("button");
      if (!button || button.disabled) return;
      const { layout, act } = button.dataset;
      const switched = () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        return on;
      };
      if (layout) {
        for (const other of this.element.querySelectorAll("[data-layout]")) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        this.layout = layout;
        if (PLANES[layout]) this._choose(layout);
        this.engine.setLayout(layout);
        this.linked.setLayout(layout);
      } else if (act === "radiological") {
        this.radiological = switched();
        button.textContent = this.words[this.radiological ? "radiological" : "neurological"];
        this.engine.setRadiological(this.radiological);
        this.linked.setRadiological(this.radiological);
      } else if (act === "outline") {
        this.masks.setAll({ outline: switched() });
      } else if (act === "scan3d") {
        this.engine.setScanIn3D(switched());
      } else if (act === "earlier") {
        switched();
        this.sync();
      } else if (act === "picture") {
        this._picture();
      } else if (act === "plus" || act === "minus") {
        this.emit.point({ mm: this.at, label: act === "plus" ? 1 : 0 });
      } else if (act === "what") {
        this.emit.what({ mm: this.at });
      }
    }

    _picture() {
      const text = (selector) => this.find(selector).textContent;
      const [level, width] = ["level", "width"].map((name) => this.find(`[data-act='${name}']`).value);
      const convention = text("[data-act='radiological']").toLowerCase();
      const masks = this.masks.drawn(this.want, "").filter((o) => o.opacity > 0 && !o.heat);
      const { doubt } = this.element.dataset;
      const where = { mm: text(".dx-mm"), words: text(".dx-words"), value: text(".dx-value"), level, width, convention };
      const heat = doubt ? ` · ${filled(this.words.doubt_of, { mask: doubt })}, 0–${this.words.bit}` : "";
      const lines = [filled(this.words.picture_line, where) + heat, this.words.picture_foot];
      const sheet = globalThis.DeixisPicture.composed(this.engine.picture(), lines, masks.map((o) => ({ name: `${o.id} ${o.phrase}`, rgb: o.rgb })));
      const place = this.at.map((v) => v.toFixed(0)).join("_");
      globalThis.DeixisPicture.save(sheet, `deixis_${place}.png`).catch(() => this._say(this.words.no_picture, 8000));
    }

    // Escape and a click elsewhere close what is open.
    _handlePanels() {
      const panels = [...this.element.querySelectorAll(".dx-panel")];
      document.addEventListener("pointerdown", (event) => {
        for (const panel of panels) if (!panel.contains(event.target)) panel.open = false;
      });
      for (const panel of panels) {
        panel.addEventListener("keydown", (event) => {
          if (event.key !== "Escape" || !panel.open) return;
          panel.open = false;
          panel.querySelector("summary").focus();
        });
      }
    }

    // A dropped file goes through the page's own file input, so the server treats it as any other upload.
    _acceptDrops() {
      const stage = this.find(".dx-stage");
      const over = (on) => stage.classList.toggle("dx-over", on);
      stage.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
      stage.addEventListener("dragleave", () => over(false));
      stage.addEventListener("drop", (event) => {
        event.preventDefault();
        over(false);
        const input = document.querySelector("input[type=file]:has(+ #dx-open)");
        if (!input || !event.dataTransfer.files.length) return;
        input.files = event.dataTransfer.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
      });
    }

    _say(text, milliseconds) {
      const line = this.find(".dx-say");
      clearTimeout(this.silence);
      line.textContent = text;
      if (text && milliseconds) this.silence = setTimeout(() => { line.textContent = ""; }, milliseconds);
    }
  }

  globalThis.DeixisViewer = {
    async mount(element, emit, props, watch, words) {
      const viewer = new Viewer(element.querySelector(".dx-viewer"), emit, props, words);
      watch("value", () => { if (viewer.engine) viewer.sync(); });
      await viewer.start();
    },
  };
})();
