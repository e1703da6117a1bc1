// Three planes on a 2D canvas: what the desk shows where NiiVue or WebGL2 is missing. Same methods as niivue_engine.js,
// without the 3D rendering. Reads only the NIfTI-1 files that assistant/desk/files.py writes: little endian, axes nearest
// to R, A, S, affine in the sform.
(() => {
  "use strict";

  const { Grid, PLANES, ENDS, flipped } = globalThis.DeixisGrid;
  const ARRAYS = { 2: Uint8Array, 4: Int16Array, 16: Float32Array };
  const BACKGROUND = "#08090b";

  async function fetchNifti(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    let buffer = await answer.arrayBuffer();
    const magic = new Uint8Array(buffer, 0, 2);
    if (magic[0] === 0x1f && magic[1] === 0x8b) {
      buffer = await new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
    }
    const header = new DataView(buffer);
    const dims = [0, 1, 2].map((i) => header.getInt16(42 + 2 * i, true));
    const affine = [0, 1, 2].map((r) => [0, 1, 2, 3].map((c) => header.getFloat32(280 + 16 * r + 4 * c, true)));
    const count = dims[0] * dims[1] * dims[2];
    const data = new ARRAYS[header.getInt16(70, true)](buffer, header.getFloat32(108, true), count);
    return { grid: new Grid(dims, affine), data, slope: header.getFloat32(112, true) || 1, inter: header.getFloat32(116, true) };
  }

  // Of a map of 0 to 255: colour and alpha (0 to 1) of each level, between the stops.
  function ramp(stops) {
    return Array.from({ length: 256 }, (_, level) => {
      const after = Math.max(1, stops.findIndex((stop) => stop.at >= level));
      const [a, b] = [stops[after - 1], stops[after]];
      const part = (level - a.at) / (b.at - a.at);
      return { rgb: a.rgb.map((v, k) => v + part * (b.rgb[k] - v)), alpha: (a.alpha + part * (b.alpha - a.alpha)) / 255 };
    });
  }

  globalThis.DeixisSlices = class {
    // order: of the planes in the layout "all"
    constructor(canvas, onLocation, order = ["axial", "coronal", "sagittal"]) {
      this.order = order;
      this.kind = "slices";
      this.canvas = canvas;
      this.onLocation = onLocation;
      this.scan = null;
      this.overlays = new Map();
      this.points = [];
      this.layout = "all";
      this.radiological = true;
      this.boxes = [];
      new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
      canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this._pick(event); });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) this._pick(event); });
    }

    async setScan(scan) {
      this.overlays.clear();
      this.points = [];
      this.scan = scan ? await fetchNifti(scan.url) : null;
      if (this.scan) {
        this.scan.window = scan.window;
        this.at = [0, 0, 0];
        this.moveTo(scan.centre);
      } else this.draw();
    }

    async setOverlays(wanted) {
      const kept = new Map();
      for (const want of wanted) {
        const have = this.overlays.get(want.id);
        const file = have && have.url === want.url ? have : await fetchNifti(want.url);
        const ramped = want.heat ? ramp(want.heat) : null;
        // where the cut of the overlay begins on the scan's grid
        const from = this.scan.grid.index(file.grid.world([0, 0, 0])).map(Math.round);
        kept.set(want.id, { ...want, grid: file.grid, data: file.data, from, ramped });
      }
      this.overlays = kept;
      this._tell();
      this.draw();
    }

    setPoints(points) { this.points = points; this.draw(); }
    setLayout(layout) { this.layout = layout; this.draw(); }
    setRadiological(on) { this.radiological = on; this.draw(); }
    setWindow(low, high) { if (this.scan) { this.scan.window = [low, high]; this.draw(); } }
    setScanIn3D() {}

    moveTo(mm) {
      if (!this.scan) return;
      this.at = this.scan.grid.clamp(this.scan.grid.index(mm));
      this._tell();
      this.draw();
    }

    // The stored value of an overlay at a voxel of the scan.
    _valueAt(overlay, ijk) {
      const [i, j, k] = ijk.map((v, axis) => v - overlay.from[axis]);
      const [nx, ny] = overlay.grid.shape;
      return overlay.grid.holds([i, j, k]) ? overlay.data[i + nx * (j + ny * k)] : 0;
    }

    _tell() {
      if (!this.scan) return;
      const { grid, data, slope, inter } = this.scan;
      const ijk = this.at.map(Math.round);
      const ids = [];
      let doubt = null;
      for (const [id, overlay] of this.overlays) {
        if (overlay.opacity === 0) continue;
        const value = this._valueAt(overlay, ijk);
        if (overlay.heat) doubt = value / 255;
        else if (value) ids.push(id);
      }
      this.onLocation(grid.world(this.at), data[ijk[0] + grid.shape[0] * (ijk[1] + grid.shape[1] * ijk[2])] * slope + inter, ids, doubt);
    }

    _flipped(axis) { return flipped(axis, this.radiological); }

    // The plane through the crosshair, rows from the top, columns as on the screen.
    _slice(plane) {
      const { u, v, w } = PLANES[plane];
      const { grid: { shape }, data, slope, inter, window: [low, high] } = this.scan;
      const [nu, nv] = [shape[u], shape[v]];
      const image = new ImageData(nu, nv);
      const step = [1, shape[0], shape[0] * shape[1]];
      const base = Math.round(this.at[w]) * step[w];
      const scale = 255 / (high - low);
      for (let row = 0, at = 0; row < nv; row++) {
        for (let column = 0; column < nu; column++, at += 4) {
          const iu = this._flipped(u) ? nu - 1 - column : column;
          const grey = (data[base + iu * step[u] + (nv - 1 - row) * step[v]] * slope + inter - low) * scale;
          image.data[at] = image.data[at + 1] = image.data[at + 2] = grey; // clamped to 0..255 by the array
          image.data[at + 3] = 255;
        }
      }
      for (const overlay of this.overlays.values()) if (overlay.opacity > 0) this._lay(overlay, plane, image);
      const sheet = new OffscreenCanvas(nu, nv);
      sheet.getContext("2d").putImageData(image, 0, 0);
      return sheet;
    }

    // Blends an overlay's part of a plane into its picture.
    _lay(overlay, plane, image) {
      const { u, v, w } = PLANES[plane];
      const { shape } = overlay.grid;
      const step = [1, shape[0], shape[0] * shape[1]];
      const depth = Math.round(this.at[w]) - overlay.from[w];
      if (depth < 0 || depth >= shape[w]) return;
      const value = (a, b) => (a < 0 || b < 0 || a >= shape[u] || b >= shape[v] ? 0 : overlay.data[depth * step[w] + a * step[u] + b * step[v]]);
      for (let b = 0; b < shape[v]; b++) {
        const row = image.height - 1 - (b + overlay.from[v]);
        if (row < 0 || row >= image.height) continue;
        for (let a = 0; a < shape[u]; a++) {
          const level = value(a, b);
          const iu = a + overlay.from[u];
          if (!level || iu < 0 || iu >= image.width) continue;
          if (overlay.outline && value(a - 1, b) && value(a + 1, b) && value(a, b - 1) && value(a, b + 1)) continue;
          const { rgb, alpha } = overlay.ramped ? overlay.ramped[level] : { rgb: overlay.rgb, alpha: 1 };
          const over = alpha * overlay.opacity;
          const at = 4 * (row * image.width + (this._flipped(u) ? image.width - 1 - iu : iu));
          for (let k = 0; k < 3; k++) image.data[at + k] += (rgb[k] - image.data[at + k]) * over;
        }
      }
    }

    draw() {
      const ratio = globalThis.devicePixelRatio || 1;
      const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
      this.canvas.width = Math.max(1, Math.round(width * ratio));
      this.canvas.height = Math.max(1, Math.round(height * ratio));
      const pen = this.canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.fillStyle = BACKGROUND;
      pen.fillRect(0, 0, width, height);
      this.boxes = [];
      if (!this.scan) return;
      const planes = this.layout === "all" ? this.order : [this.layout];
      const cells = planes.length === 1 ? [[0, 0, width, height]]
        : [[0, 0, width / 2, height / 2], [width / 2, 0, width / 2, height / 2], [0, height / 2, width / 2, height / 2]];
      planes.forEach((plane, n) => this._drawPlane(pen, plane, cells[n]));
    }

    _drawPlane(pen, plane, [left, top, width, height]) {
      const { u, v } = PLANES[plane];
      const { shape: dims, spacing } = this.scan.grid;
      const [mmU, mmV] = [dims[u] * spacing[u], dims[v] * spacing[v]];
      const scale = Math.min((width - 8) / mmU, (height - 8) / mmV);
      const box = { plane, w: mmU * scale, h: mmV * scale };
      box.x = left + (width - box.w) / 2;
      box.y = top + (height - box.h) / 2;
      this.boxes.push(box);
      pen.imageSmoothingEnabled = true;
      pen.drawImage(this._slice(plane), box.x, box.y, box.w, box.h);
      const cross = this._place(box, this.at);
      pen.strokeStyle = "rgba(240,240,240,.5)";
      pen.beginPath();
      pen.moveTo(box.x, cross[1]); pen.lineTo(cross[0] - 6, cross[1]);
      pen.moveTo(cross[0] + 6, cross[1]); pen.lineTo(box.x + box.w, cross[1]);
      pen.moveTo(cross[0], box.y); pen.lineTo(cross[0], cross[1] - 6);
      pen.moveTo(cross[0], cross[1] + 6); pen.lineTo(cross[0], box.y + box.h);
      pen.stroke();
      for (const point of this.points) {
        const ijk = this.scan.grid.index(point.mm);
        if (Math.abs(ijk[PLANES[plane].w] - this.at[PLANES[plane].w]) > 1.5) continue;
        const [x, y] = this._place(box, ijk);
        pen.fillStyle = point.label ? "#3cc8dc" : "#e63c3c";
        pen.strokeStyle = "#fff";
        pen.beginPath(); pen.arc(x, y, 4, 0, 7); pen.fill(); pen.stroke();
      }
      const ends = this._flipped(u) ? [...ENDS[u]].reverse() : ENDS[u];
      pen.fillStyle = "#dbe3ed";
      pen.font = "600 13px system-ui, sans-serif";
      pen.textBaseline = "middle";
      pen.textAlign = "left"; pen.fillText(ends[0], left + 6, top + height / 2);
      pen.textAlign = "right"; pen.fillText(ends[1], left + width - 6, top + height / 2);
      pen.textAlign = "center"; pen.fillText(ENDS[v][1], left + width / 2, top + 12);
      pen.fillText(ENDS[v][0], left + width / 2, top + height - 12);
    }

    _place(box, ijk) {
      const { u, v } = PLANES[box.plane];
      const { shape: dims } = this.scan.grid;
      const part = (ijk[u] + 0.5) / dims[u];
      return [box.x + (this._flipped(u) ? 1 - part : part) * box.w, box.y + (1 - (ijk[v] + 0.5) / dims[v]) * box.h];
    }

    // The plane at a place in the canvas, in CSS pixels; null beside them all.
    planeAt(x, y) {
      const box = this._boxAt(x, y);
      return box ? box.plane : null;
    }

    _boxAt(x, y) { return this.boxes.find((b) => x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h); }

    _pick(event) {
      if (event.type === "pointerdown" && event.button !== 0) return;
      const frame = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
      const box = this._boxAt(x, y);
      if (!box) return;
      const { u, v } = PLANES[box.plane];
      const { grid } = this.scan;
      const part = (x - box.x) / box.w;
      this.at[u] = (this._flipped(u) ? 1 - part : part) * grid.shape[u] - 0.5;
      this.at[v] = (1 - (y - box.y) / box.h) * grid.shape[v] - 0.5;
      this.at = grid.clamp(this.at);
      this._tell();
      this.draw();
    }

    picture() {
      this.draw();
      return this.canvas;
    }
  };
})();
