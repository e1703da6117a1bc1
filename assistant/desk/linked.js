// The earlier scan beside the present one: the same place in both, whichever of the two is moved. It lies on the present
// scan's grid (assistant/desk/linked.py), so millimetres, window and masks are those of the present scan.
(() => {
  "use strict";

  const { PLANES } = globalThis.DeixisGrid;

  globalThis.DeixisLinked = class {
    // stage: where it is drawn; order: the planes of the layout "all", as the main stage has them. moved(mm): the reader
    // has put the crosshair somewhere here. wheel(plane, event): likewise turned the wheel.
    constructor(stage, order, { moved, wheel }) {
      this.stage = stage;
      this.following = false;
      const here = (mm) => { if (!this.following) moved(mm); };
      this.engine = new globalThis.DeixisSlices(stage.querySelector("canvas"), here, order);
      stage.addEventListener("wheel", (event) => {
        const frame = stage.getBoundingClientRect();
        const plane = this.engine.planeAt(event.clientX - frame.left, event.clientY - frame.top);
        if (!PLANES[plane]) return;
        event.preventDefault();
        wheel(plane, event);
      }, { passive: false });
    }

    get on() { return !this.stage.hidden; }

    // What the main stage does is done here too.
    _follow(act) {
      if (!this.on) return;
      this.following = true;
      act();
      this.following = false;
    }

    moveTo(mm) { this._follow(() => this.engine.moveTo(mm)); }
    setWindow(low, high) { this._follow(() => this.engine.setWindow(low, high)); }
    setRadiological(on) { this._follow(() => this.engine.setRadiological(on)); }
    setLayout(layout) { this._follow(() => this.engine.setLayout(layout === "3d" ? "all" : layout)); }

    // scan: as DeixisSlices has it, or null; state: {mm, range, layout, radiological} of the main stage.
    async show(scan, overlays, { mm, range, layout, radiological }) {
      this.stage.hidden = !scan;
      if (!scan) return;
      this.following = true;
      try {
        if (this.url !== scan.url) {
          await this.engine.setScan({ ...scan, centre: mm, window: range });
          this.url = scan.url;
        }
        await this.engine.setOverlays(overlays);
        this.following = false;
        this.setWindow(...range);
        this.setRadiological(radiological);
        this.setLayout(layout);
        this.moveTo(mm);
      } finally {
        this.following = false;
      }
    }
  };
})();
