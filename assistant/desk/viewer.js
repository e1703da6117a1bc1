// The desk's viewer: a tool bar, a stage, a read-out line. It is mounted by a gr.HTML component and knows nothing of
// sessions: `props.value` is a JSON text (written by assistant/desk/page.py) that says what is to be seen, and
// `emit` carries what the reader did. Coordinates are RAS+ millimetres everywhere.
//
// Two engines draw the stage: NiiVue where it is installed and the browser has WebGL2, plain slices on a 2D canvas
// (slices.js) elsewhere. Both have the same methods: setScan, setOverlays, setPoints, setLayout, setWindow,
// setRadiological, setOutline, moveTo.
(() => {
  "use strict";

  const LAYOUTS = ["all", "axial", "coronal", "sagittal", "3d"];

  // The voxels of a mask with a face neighbour outside it. dims: [.., nx, ny, nz] as NIfTI has them.
  function rimOf(mask, [, nx, ny, nz]) {
    const rim = new Uint8Array(mask.length);
    const [dy, dz] = [nx, nx * ny];
    for (let k = 0, at = 0; k < nz; k++) {
      for (let j = 0; j < ny; j++) {
        for (let i = 0; i < nx; i++, at++) {
          if (!mask[at]) continue;
          const edge = i === 0 || j === 0 || k === 0 || i === nx - 1 || j === ny - 1 || k === nz - 1;
          if (edge || !mask[at - 1] || !mask[at + 1] || !mask[at - dy] || !mask[at + dy] || !mask[at - dz] || !mask[at + dz]) {
            rim[at] = 1;
          }
        }
      }
    }
    return rim;
  }

  class NiiVueEngine {
    static async create(canvas, onLocation) {
      const lib = globalThis.niivue;
      const nv = new lib.Niivue({
        backColor: [0.03, 0.035, 0.045, 1],
        crosshairColor: [0.95, 0.95, 0.95, 0.55],
        crosshairWidth: 0.6,
        crosshairGap: 6,
        fontColor: [0.86, 0.89, 0.93, 1],
        fontMinPx: 12,
        fontSizeScaling: 0.3,
        selectionBoxColor: [1, 1, 1, 0.3],
        isRadiologicalConvention: true,
        sagittalNoseLeft: true,
        isOrientationTextVisible: true,
        showAllOrientationMarkers: true,
        isOrientCube: false,
        isColorbar: false,
        multiplanarLayout: lib.MULTIPLANAR_TYPE.GRID,
        multiplanarShowRender: lib.SHOW_RENDER.ALWAYS,
        multiplanarPadPixels: 10,
        show3Dcrosshair: true,
        dragAndDropEnabled: false,
        dragMode: lib.DRAG_MODE.windowing,
        isSliceMM: true,
        loadingText: "",
        logLevel: "error",
        clipPlaneHotKey: "",
        viewModeHotKey: "",
        scrollRequiresFocus: false,
      });
      await nv.attachToCanvas(canvas);
      return new NiiVueEngine(lib, nv, onLocation);
    }

    constructor(lib, nv, onLocation) {
      this.kind = "niivue";
      this.lib = lib;
      this.nv = nv;
      this.overlays = new Map(); // id -> {url, image}
      this.pointMesh = null;
      this.outline = false;
      nv.opts.renderOverlayBlend = 1.0;
      nv.onLocationChange = (at) => {
        const ids = [];
        for (const [id, one] of this.overlays) {
          const seen = at.values.find((v) => v.id === one.image.id);
          if (!seen || one.opacity === 0) continue;
          const [, nx, ny] = one.image.hdr.dims;
          if (one.full[seen.vox[0] + nx * (seen.vox[1] + ny * seen.vox[2])]) ids.push(id);
        }
        onLocation(Array.from(at.mm).slice(0, 3), at.values.length ? at.values[0].value : null, ids);
      };
    }

    async setScan(scan) {
      this.overlays.clear();
      this._dropPoints();
      while (this.nv.volumes.length) this.nv.removeVolumeByIndex(0);
      if (!scan) return;
      await this.nv.loadVolumes([
        { url: scan.url, name: scan.file, colormap: "gray", cal_min: scan.window[0], cal_max: scan.window[1] },
      ]);
      this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
      this.moveTo(scan.centre);
    }

    async setOverlays(wanted) {
      for (const [id, one] of [...this.overlays]) {
        if (!wanted.some((w) => w.id === id && w.url === one.url)) {
          this.nv.removeVolume(one.image);
          this.overlays.delete(id);
        }
      }
      for (const want of wanted) {
        const have = this.overlays.get(want.id);
        if (have) {
          if (have.opacity !== want.opacity) {
            have.opacity = want.opacity;
            this.nv.setOpacity(this.nv.volumes.indexOf(have.image), want.opacity);
          }
          continue;
        }
        const [r, g, b] = want.rgb;
        const map = `deixis-${r}-${g}-${b}`;
        this.nv.addColormap(map, { R: [r, r, r], G: [g, g, g], B: [b, b, b], A: [0, 255, 255], I: [0, 1, 255] });
        const image = await this.nv.addVolumeFromUrl({
          url: want.url, name: want.file, colormap: map, opacity: want.opacity, cal_min: 0.5, cal_max: 1,
        });
        this.overlays.set(want.id, { url: want.url, image, opacity: want.opacity, full: image.img });
        if (this.outline) this.setOutline(true);
      }
      this.nv.createOnLocationChange();
    }

    _dropPoints() {
      if (this.pointMesh) this.nv.removeMesh(this.pointMesh);
      this.pointMesh = null;
    }

    // Points are spheres of a "connectome" without edges: the one mesh kind that is also drawn on the slices.
    setPoints(points) {
      this._dropPoints();
      if (!points.length) return;
      const name = "deixis-points";
      this.nv.addColormap(name, { R: [240, 40], G: [70, 210], B: [60, 235], A: [255, 255], I: [0, 255] });
      this.pointMesh = this.nv.loadConnectomeAsMesh({
        name,
        nodeColormap: name, nodeColormapNegative: name, nodeMinColor: 0, nodeMaxColor: 1, nodeScale: 3,
        edgeColormap: name, edgeColormapNegative: name, edgeMin: 2, edgeMax: 3, edgeScale: 1,
        nodes: points.map((p) => ({ name: "", x: p.mm[0], y: p.mm[1], z: p.mm[2], colorValue: p.label, sizeValue: 1 })),
        edges: [],
        showLegend: false,
      });
      this.nv.opts.showLegend = false;
      this.nv.addMesh(this.pointMesh);
    }

    setLayout(layout) {
      const T = this.lib.SLICE_TYPE;
      this.nv.setSliceType([T.MULTIPLANAR, T.AXIAL, T.CORONAL, T.SAGITTAL, T.RENDER][LAYOUTS.indexOf(layout)]);
    }

    setWindow(low, high) {
      if (!this.nv.volumes.length) return;
      this.nv.volumes[0].cal_min = low;
      this.nv.volumes[0].cal_max = high;
      this.nv.updateGLVolume();
    }

    setRadiological(on) {
      this.nv.opts.sagittalNoseLeft = on;
      this.nv.setRadiologicalConvention(on);
    }

    // Outlines are the masks' own rim voxels: what lies inside stays visible, and nothing is drawn outside a mask.
    setOutline(on) {
      this.outline = on;
      for (const one of this.overlays.values()) {
        one.rim = one.rim || (on ? rimOf(one.full, one.image.hdr.dims) : null);
        one.image.img = on ? one.rim : one.full;
      }
      this.nv.updateGLVolume();
    }

    moveTo(mm) {
      if (!this.nv.volumes.length) return;
      this.nv.scene.crosshairPos = this.nv.mm2frac(mm);
      this.nv.createOnLocationChange();
      this.nv.drawScene();
    }
  }

  const hasWebGL2 = () => Boolean(document.createElement("canvas").getContext("webgl2"));

  const format = (mm) => mm.map((v) => (Math.abs(v) < 0.05 ? 0 : v).toFixed(1).replace("-", "−")).join(", ");

  class Viewer {
    constructor(element, emit, props) {
      this.element = element;
      this.emit = emit;
      this.props = props;
      this.at = null; // RAS+ mm of the crosshair
      this.opacity = 0.55;
      this.want = null;
      this.shown = { scan: null, focus: 0, points: "[]" };
      this.queue = Promise.resolve();
      this.find = (selector) => element.querySelector(selector);
    }

    async start() {
      const canvas = this.find("canvas");
      const here = (mm, value, ids) => this._located(mm, value, ids);
      const gl = globalThis.niivue !== undefined && hasWebGL2();
      this.engine = gl ? await NiiVueEngine.create(canvas, here) : new globalThis.DeixisSlices(canvas, here);
      this.element.dataset.engine = this.engine.kind;
      if (!gl) {
        this.find("[data-layout='3d']").remove();
        this.find("[data-act='outline']").remove();
        this._say(globalThis.niivue === undefined
          ? "NiiVue is not installed (npm ci installs it): plain slices."
          : "This browser has no WebGL2: plain slices.", 8000);
      }
      this.element.addEventListener("click", (event) => this._clicked(event));
      this.find("[data-act='opacity']").addEventListener("input", (event) => {
        this.opacity = Number(event.target.value) / 100;
        this.sync();
      });
      this.find("[data-act='window']").addEventListener("change", (event) => {
        this.engine.setWindow(...event.target.value.split(",").map(Number));
      });
      this._acceptDrops();
      // talk.js: a chip in the text or the table is pointed at
      this.element.addEventListener("deixis-light", (event) => {
        this.lit = event.detail.id;
        const mask = (this.want && this.want.overlays || []).find((o) => o.id === this.lit);
        if (event.detail.move && mask && mask.centre) this.engine.moveTo(mask.centre);
        this.sync();
      });
      this.sync();
    }

    // What is wanted may change faster than files load: each step goes to the newest wish, in order.
    sync() {
      this.queue = this.queue.then(() => this._step()).catch((error) => {
        this._say(`The viewer could not show this: ${error.message || error}`, 0);
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
        this._say(scan ? "Loading the scan…" : "", 0);
        this._windows(scan);
        await this.engine.setScan(scan);
        this.shown = { scan, focus: this.want.focus ? this.want.focus.n : 0, points: "[]" };
        this.element.dataset.scan = scan ? scan.url : "";
        this._say("", 0);
      }
      if (!scan) return;
      const lit = this.lit || this.want.selected || ""; // the other masks are dimmed
      const full = this.outline ? 1 : this.opacity;
      const overlays = (this.want.overlays || []).map((o) => (
        { ...o, opacity: !o.visible ? 0 : lit && lit !== o.id ? 0.2 * full : full }));
      this.element.dataset.lit = overlays.some((o) => o.id === lit) ? lit : "";
      await this.engine.setOverlays(overlays);
      this.element.dataset.overlays = overlays.filter((o) => o.opacity > 0).map((o) => o.id).join(" ");
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

    _windows(scan) {
      const select = this.find("[data-act='window']");
      select.replaceChildren();
      for (const preset of scan ? scan.windows : []) {
        const option = document.createElement("option");
        option.textContent = preset.name;
        option.value = preset.range.join(",");
        select.append(option);
      }
    }

    _located(mm, value, ids) {
      this.at = mm;
      this.element.dataset.mm = mm.map((v) => v.toFixed(2)).join(",");
      const [x, y, z] = mm;
      this.find(".dx-mm").textContent = format(mm);
      this.find(".dx-words").textContent = [
        `${Math.abs(x).toFixed(0)} ${x < 0 ? "L" : "R"}`, `${Math.abs(y).toFixed(0)} ${y < 0 ? "P" : "A"}`,
        `${Math.abs(z).toFixed(0)} ${z < 0 ? "I" : "S"}`].join(" ");
      const unit = this.want && this.want.scan ? this.want.scan.unit : "";
      this.find(".dx-value").textContent = value === null ? "" : `${Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(2) : value.toFixed(0)} ${unit}`.trim().replace("-", "−");
      const under = this.find(".dx-under");
      under.replaceChildren();
      for (const id of ids) {
        const overlay = this.want.overlays.find((o) => o.id === id);
        if (!overlay) continue;
        const chip = document.createElement("span");
        chip.className = "dx-chip";
        chip.style.setProperty("--dx", `rgb(${overlay.rgb.join(",")})`);
        chip.textContent = `${id} ${overlay.phrase}`;
        under.append(chip);
      }
      for (const button of this.element.querySelectorAll(".dx-readout button")) button.disabled = false;
    }

    _clicked(event) {
      const button = event.target.closest("button");
      if (!button || button.disabled) return;
      const { layout, act } = button.dataset;
      if (layout) {
        for (const other of this.element.querySelectorAll("[data-layout]")) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        this.engine.setLayout(layout);
      } else if (act === "radiological") {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        button.textContent = on ? "Radiological" : "Neurological";
        this.engine.setRadiological(on);
      } else if (act === "outline") {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        this.outline = on;
        this.engine.setOutline(on);
        this.sync();
      } else if (act === "plus" || act === "minus") {
        this.emit.point({ mm: this.at, label: act === "plus" ? 1 : 0 });
      } else if (act === "what") {
        this.emit.what({ mm: this.at });
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
        const input = document.querySelector("input[type=file][data-testid^='Open scan']");
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
    async mount(element, emit, props, watch) {
      const viewer = new Viewer(element.querySelector(".dx-viewer"), emit, props);
      watch("value", () => { if (viewer.engine) viewer.sync(); });
      await viewer.start();
    },
  };
})();
