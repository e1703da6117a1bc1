// A picture of the stage to keep: what is drawn, with its L and R, and below it where it is, what the colours mean and
// what it must not be used for.
(() => {
  "use strict";

  const LINE = 20; // CSS pixels

  // stage: the canvas as drawn; lines: sentences; masks: [{name, rgb}]. Returns a canvas.
  function composed(stage, lines, masks) {
    const ratio = globalThis.devicePixelRatio || 1;
    const sheet = document.createElement("canvas");
    const pen = sheet.getContext("2d");
    const font = "12px system-ui, sans-serif";
    const width = stage.width / ratio;
    pen.font = font;
    // the legend wraps; each entry is a square and its name
    const places = [];
    let [x, row] = [10, 0];
    for (const mask of masks) {
      const long = 20 + pen.measureText(mask.name).width;
      if (x > 10 && x + long > width - 10) [x, row] = [10, row + 1];
      places.push({ ...mask, x, row });
      x += long + 14;
    }
    const rows = lines.length + (masks.length ? row + 1 : 0);
    sheet.width = stage.width;
    sheet.height = stage.height + Math.round((rows * LINE + 12) * ratio);
    pen.fillStyle = "#12151a";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.drawImage(stage, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, stage.height);
    pen.font = font;
    pen.textBaseline = "middle";
    for (const { name, rgb, x: left, row: below } of places) {
      pen.fillStyle = `rgb(${rgb.join(",")})`;
      pen.fillRect(left, 6 + below * LINE + 5, 11, 11);
      pen.fillStyle = "#e2e8f0";
      pen.fillText(name, left + 17, 6 + (below + 0.5) * LINE);
    }
    const first = rows - lines.length;
    lines.forEach((line, n) => {
      pen.fillStyle = n === lines.length - 1 ? "#fbbf24" : "#e2e8f0";
      pen.fillText(line, 10, 6 + (first + n + 0.5) * LINE, width - 20);
    });
    return sheet;
  }

  function save(sheet, name) {
    return new Promise((resolve, reject) => {
      sheet.toBlob((blob) => {
        if (!blob) { reject(new Error("no blob")); return; }
        const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
        resolve();
      }, "image/png");
    });
  }

  globalThis.DeixisPicture = { composed, save };
})();
