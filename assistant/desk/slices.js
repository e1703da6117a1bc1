// Three planes on a 2D canvas: what the desk shows where NiiVue or WebGL2 is missing. Same methods as viewer.js's
// NiiVue engine, without the 3D rendering. Reads only the NIfTI-1 files that assistant/desk/files.py writes: little
// endian, axes nearest to R, A, S, affine in the sform.
(() => {
  "use strict";

  const ARRAYS = { 2: Uint8Array, 4: Int16Array, 16: Float32Array };
  const BACKGROUND = "#08090b";
  const PLANES = {
    // columns, rows, and the axis through the plane
    axial: { u: 0, v: 1, w: 2 }, coronal: { u: 0, v: 2, w: 1 }, sagittal: { u: 1, v: 2, w: 0 },
  };
  const ENDS = [["L", "R"], ["P", "A"], ["I", "S"]];

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
    return { dims, affine, data, slope: header.getFloat32(112, true) || 1, inter: header.getFloat32(116, true) };
  }

  function invert(a) {
    const [[p, q, r, t], [s, u, v, w], [x, y, z, k]] = a;
    const d = p * (u * z - v * y) - q * (s * z - v * x) + r * (s * y - u * x);
    const m = [
      [(u * z - v * y) / d, (r * y - q * z) / d, (q * v - r * u) / d],
      [(v * x - s * z) / d, (p * z - r * x) / d, (r * s - p * v) / d],
      [(s * y - u * x) / d, (q * x - p * y) / d, (p * u - q * s) / d],
    ];
    return (mm) => m.map((row) => row[0] * (mm[0] - t) + row[1] * (mm[1] - w) + row[2] * (mm[2] - k));
  }

  globalThis.DeixisSlices = class {
    constructor(canvas, onLocation) {
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
      canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    }

    async setScan(scan) {
      this.overlays.clear();
      this.points = [];
      this.scan = scan ? await fetchNifti(scan.url) : null;
      if (this.scan) {
        this.scan.window = scan.window;
        this.scan.index = invert(this.scan.affine);
        this.scan.spacing = [0, 1, 2].map((c) => Math.hypot(...this.scan.affine.map((row) => row[c])));
        this.at = this.scan.dims.map((n) => (n - 1) / 2);
        this.moveTo(scan.centre);
      } else this.draw();
    }

    async setOverlays(wanted) {
      const kept = new Map();
      for (const want of wanted) {
        const have = this.overlays.get(want.id);
        const data = have && have.url === want.url ? have.data : (await fetchNifti(want.url)).data;
        kept.set(want.id, { ...want, data });
      }
      this.overlays = kept;
      this._tell();
      this.draw();
    }

    setPoints(points) { this.points = points; this.draw(); }
    setLayout(layout) { this.layout = layout; this.draw(); }
    setRadiological(on) { this.radiological = on; this.draw(); }
    setWindow(low, high) { if (this.scan) { this.scan.window = [low, high]; this.draw(); } }
    setOutline() {}

    moveTo(mm) {
      if (!this.scan) return;
      this.at = this._clamp(this.scan.index(mm));
      this._tell();
      this.draw();
    }

    _clamp(ijk) { return ijk.map((v, k) => Math.min(this.scan.dims[k] - 1, Math.max(0, v))); }
    _offset(i, j, k) { const [nx, ny] = this.scan.dims; return i + nx * (j + ny * k); }

    _tell() {
      if (!this.scan) return;
      const mm = this.scan.affine.map((row) => row[0] * this.at[0] + row[1] * this.at[1] + row[2] * this.at[2] + row[3]);
      const voxel = this._offset(...this.at.map(Math.round));
      const ids = [...this.overlays].filter(([, o]) => o.opacity > 0 && o.data[voxel]).map(([id]) => id);
      this.onLocation(mm, this.scan.data[voxel] * this.scan.slope + this.scan.inter, ids);
    }

    // Does the screen's column (u) run against the voxel axis? Right is on the left in the radiological
    // convention, and a sagittal plane then looks to the left.
    _flipped(axis) { return axis === 0 || axis === 1 ? this.radiological : false; }

    _slice(plane) {
      const { u, v, w } = PLANES[plane];
      const { dims, data, slope, inter, window: [low, high] } = this.scan;
      const [nu, nv] = [dims[u], dims[v]];
      const image = new ImageData(nu, nv);
      const step = [1, dims[0], dims[0] * dims[1]];
      const base = Math.round(this.at[w]) * step[w];
      const shown = [...this.overlays.values()].filter((o) => o.opacity > 0);
      for (let row = 0; row < nv; row++) {
        for (let column = 0; column < nu; column++) {
          const iu = this._flipped(u) ? nu - 1 - column : column;
          const voxel = base + iu * step[u] + (nv - 1 - row) * step[v];
          const grey = Math.max(0, Math.min(255, ((data[voxel] * slope + inter - low) / (high - low)) * 255));
          let colour = [grey, grey, grey];
          for (const o of shown) {
            if (o.data[voxel]) colour = colour.map((c, k) => c * (1 - o.opacity) + o.rgb[k] * o.opacity);
          }
          const at = 4 * (row * nu + column);
          image.data.set([colour[0], colour[1], colour[2], 255], at);
        }
      }
      const sheet = new OffscreenCanvas(nu, nv);
      sheet.getContext("2d").putImageData(image, 0, 0);
      return sheet;
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
      const planes = this.layout === "all" ? ["axial", "coronal", "sagittal"] : [this.layout];
      const cells = planes.length === 1 ? [[0, 0, width, height]]
        : [[0, 0, width / 2, height / 2], [width / 2, 0, width / 2, height / 2], [0, height / 2, width / 2, height / 2]];
      planes.forEach((plane, n) => this._drawPlane(pen, plane, cells[n]));
    }

    _drawPlane(pen, plane, [left, top, width, height]) {
      const { u, v } = PLANES[plane];
      const { dims, spacing } = this.scan;
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
        const ijk = this.scan.index(point.mm);
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
      const { dims } = this.scan;
      const part = (ijk[u] + 0.5) / dims[u];
      return [box.x + (this._flipped(u) ? 1 - part : part) * box.w, box.y + (1 - (ijk[v] + 0.5) / dims[v]) * box.h];
    }

    _boxAt(event) {
      const frame = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
      const box = this.boxes.find((b) => x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h);
      return box ? { box, x, y } : null;
    }

    _pick(event) {
      const hit = this._boxAt(event);
      if (!hit) return;
      const { u, v } = PLANES[hit.box.plane];
      const part = (hit.x - hit.box.x) / hit.box.w;
      this.at[u] = (this._flipped(u) ? 1 - part : part) * this.scan.dims[u] - 0.5;
      this.at[v] = (1 - (hit.y - hit.box.y) / hit.box.h) * this.scan.dims[v] - 0.5;
      this.at = this._clamp(this.at);
      this._tell();
      this.draw();
    }

    _wheel(event) {
      const hit = this._boxAt(event);
      if (!hit) return;
      event.preventDefault();
      this.at[PLANES[hit.box.plane].w] += event.deltaY > 0 ? -1 : 1;
      this.at = this._clamp(this.at);
      this._tell();
      this.draw();
    }
  };
})();
