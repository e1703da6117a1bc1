// The stage drawn by NiiVue (WebGL2): three planes, and 3D with the masks' surfaces. Same methods as slices.js.
(() => {
  "use strict";

  const LAYOUTS = ["all", "axial", "coronal", "sagittal", "3d"];
  const PLANE_NAMES = ["axial", "coronal", "sagittal", null, "3d"]; // by NiiVue's SLICE_TYPE

  // The voxels of a mask with a face neighbour outside it, in x or y or z. dims: [.., nx, ny, nz] as NIfTI has them;
  // the outermost voxels of the array are never in a mask (assistant/desk/display.py leaves a rim).
  function rimOf(mask, [, nx, ny]) {
    const rim = new Uint8Array(mask.length);
    const [dy, dz] = [nx, nx * ny];
    for (let at = 0; at < mask.length; at++) {
      if (!mask[at]) continue;
      if (!mask[at - 1] || !mask[at + 1] || !mask[at - dy] || !mask[at + dy] || !mask[at - dz] || !mask[at + dz]) rim[at] = 1;
    }
    return rim;
  }

  globalThis.DeixisNiiVue = class {
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
        dragMode: lib.DRAG_MODE.none, // the viewer has its own, for both engines
        isSliceMM: true,
        loadingText: "",
        logLevel: "error",
        clipPlaneHotKey: "",
        viewModeHotKey: "",
        scrollRequiresFocus: false,
        meshXRay: 0.35, // surfaces shine through the scan around them
      });
      await nv.attachToCanvas(canvas);
      return new globalThis.DeixisNiiVue(lib, nv, onLocation);
    }

    constructor(lib, nv, onLocation) {
      this.kind = "niivue";
      this.lib = lib;
      this.nv = nv;
      this.overlays = new Map(); // id -> {url, image, full, rim, surface, and what was wanted of it}
      this.pointMesh = null;
      this.scanIn3D = true;
      nv.opts.renderOverlayBlend = 1.0;
      this._drawSurfacesIn3DOnly();
      nv.onLocationChange = (at) => {
        const ids = [];
        let doubt = null;
        for (const [id, one] of this.overlays) {
          if (one.opacity === 0) continue;
          const value = this._valueAt(one, at.mm);
          if (one.heat) doubt = value / 255;
          else if (value) ids.push(id);
        }
        onLocation(Array.from(at.mm).slice(0, 3), at.values.length ? at.values[0].value : null, ids, doubt);
      };
    }

    // NiiVue draws every mesh on the slices too, as if seen through the scan; here only the points belong there. And
    // where it draws the scan in 3D, the reader may want the surfaces alone.
    _drawSurfacesIn3DOnly() {
      const { nv } = this;
      const [drawMesh, drawImage] = [nv.drawMesh3D.bind(nv), nv.drawImage3D.bind(nv)];
      nv.drawMesh3D = (depth, alpha, mvp, model, normal, onSlice = false) => {
        for (const one of this.overlays.values()) {
          if (one.surface) one.surface.visible = !onSlice && one.opacity > 0;
        }
        drawMesh(depth, alpha, mvp, model, normal, onSlice);
      };
      nv.drawImage3D = (...where) => { if (this.scanIn3D) drawImage(...where); };
    }

    _valueAt(one, mm) {
      const [, nx, ny, nz] = one.image.hdr.dims;
      const [i, j, k] = one.image.mm2vox([mm[0], mm[1], mm[2]]);
      return i < 0 || j < 0 || k < 0 || i >= nx || j >= ny || k >= nz ? 0 : one.full[i + nx * (j + ny * k)];
    }

    async setScan(scan) {
      for (const one of this.overlays.values()) this._dropSurface(one);
      this.overlays.clear();
      this._dropPoints();
      await this._atOnce(async () => { while (this.nv.volumes.length) this.nv.removeVolumeByIndex(0); });
      if (!scan) {
        this.nv.drawScene();
        return;
      }
      await this.nv.loadVolumes([
        { url: scan.url, name: scan.file, colormap: "gray", cal_min: scan.window[0], cal_max: scan.window[1] },
      ]);
      this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
      this.moveTo(scan.centre);
    }

    async setOverlays(wanted) {
      let changed = false;
      await this._atOnce(async () => {
        for (const [id, one] of [...this.overlays]) {
          if (wanted.some((w) => w.id === id && w.url === one.url)) continue;
          this.nv.removeVolume(one.image);
          this._dropSurface(one);
          this.overlays.delete(id);
          changed = true;
        }
        for (const want of wanted) {
          const have = this.overlays.get(want.id) || await this._added(want);
          changed = this._styled(have, want) || changed;
        }
      });
      if (changed) this._refresh();
      this.nv.createOnLocationChange();
    }

    // NiiVue draws the scan and every overlay into its textures anew after each file: here once for them all.
    async _atOnce(change) {
      this.nv.updateGLVolume = () => {};
      try {
        await change();
      } finally {
        delete this.nv.updateGLVolume;
      }
    }

    async _added(want) {
      const image = await this.nv.addVolumeFromUrl({
        url: want.url, name: want.file, colormap: this._colours(want), opacity: want.opacity,
        cal_min: want.heat ? 0.02 : 0.5, cal_max: 1,
      });
      const one = { url: want.url, image, full: image.img, rim: null, heat: want.heat, surface: null, style: "" };
      this.overlays.set(want.id, one);
      if (want.surface) {
        one.surface = await this.nv.addMeshFromUrl({ url: want.surface, name: `${want.id}.mz3`, rgba255: [...want.rgb, 255] });
      }
      return one;
    }

    // Gives an overlay the wanted look; true where that changed it.
    _styled(one, want) {
      const style = JSON.stringify([want.rgb, want.opacity, want.outline]);
      if (style === one.style) return false;
      one.style = style;
      one.opacity = want.opacity;
      one.image.opacity = want.opacity;
      one.image.colormap = this._colours(want);
      if (want.outline) one.rim = one.rim || rimOf(one.full, one.image.hdr.dims);
      one.image.img = want.outline ? one.rim : one.full;
      if (one.surface) {
        one.surface.rgba255 = new Uint8Array([...want.rgb, 255]);
        one.surface.updateMesh(this.nv.gl);
      }
      return true;
    }

    // Only the overlays are drawn anew: the scan below them may be large. Without any, it is told that there are none.
    _refresh() {
      const only = this.nv.volumes.length === 1;
      this.nv.volumes.forEach((image, layer) => { if (layer > 0 || only) this.nv.refreshLayers(image, layer); });
      this.nv.drawScene();
    }

    _colours(want) {
      const name = want.heat ? "deixis-heat" : `deixis-${want.rgb.join("-")}`;
      const stops = want.heat || [{ at: 0, rgb: want.rgb, alpha: 0 }, { at: 1, rgb: want.rgb, alpha: 255 }, { at: 255, rgb: want.rgb, alpha: 255 }];
      const part = (k) => stops.map((stop) => stop.rgb[k]);
      this.nv.addColormap(name, { R: part(0), G: part(1), B: part(2), A: stops.map((s) => s.alpha), I: stops.map((s) => s.at) });
      return name;
    }

    _dropSurface(one) {
      if (one.surface) this.nv.removeMesh(one.surface);
      one.surface = null;
    }

    _dropPoints() {
      if (this.pointMesh) this.nv.removeMesh(this.pointMesh);
      this.pointMesh = null;
    }

    // Points are spheres of a "connectome" without edges.
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
      const [scan] = this.nv.volumes;
      if (!scan) return;
      scan.cal_min = low;
      scan.cal_max = high;
      this.nv.refreshLayers(scan, 0);
      this.nv.drawScene();
    }

    setRadiological(on) {
      this.nv.opts.sagittalNoseLeft = on;
      this.nv.setRadiologicalConvention(on);
    }

    setScanIn3D(on) {
      this.scanIn3D = on;
      this.nv.drawScene();
    }

    // Turns the 3D picture by degrees.
    turn(right, up) {
      this.nv.setRenderAzimuthElevation(this.nv.scene.renderAzimuth + right, this.nv.scene.renderElevation + up);
    }

    // The plane (or "3d") at a place in the canvas, in CSS pixels; null beside them all.
    planeAt(x, y) {
      const tile = this.nv.tileIndex(x * this.nv.uiData.dpr, y * this.nv.uiData.dpr);
      return tile < 0 ? (this.nv.opts.sliceType === this.lib.SLICE_TYPE.RENDER ? "3d" : null) : PLANE_NAMES[this.nv.screenSlices[tile].axCorSag];
    }

    moveTo(mm) {
      if (!this.nv.volumes.length) return;
      this.nv.scene.crosshairPos = this.nv.mm2frac(mm);
      this.nv.createOnLocationChange();
      this.nv.drawScene();
    }

    // The canvas with the present picture in it, to be copied at once.
    picture() {
      this.nv.drawScene();
      return this.nv.canvas;
    }
  };
})();
