// Score maps: grey pictures, coloured here over one scale, so that one colour means one score wherever it stands --------
const RAMP = Uint8Array.from(atob(JSON.parse($("ramp").textContent)), (c) => c.charCodeAt(0)); // 256 × red, green, blue
/** Draw an image's score map; over a photograph low scores are clear, alone they are black. */
async function paint(canvas, image, [low, high], over) {
  const grey = new Image();
  grey.src = `data:image/webp;base64,${image.score}`;
  try { await grey.decode(); } catch { return; } // damaged: there is no map
  canvas.width = grey.naturalWidth;
  canvas.height = grey.naturalHeight;
  const area = canvas.getContext("2d", { willReadFrequently: true });
  area.drawImage(grey, 0, 0);
  const pixels = area.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
  const colours = new Uint32Array(256); // of each grey level, as the four bytes of a pixel
  for (let level = 0; level < 256; level += 1) {
    const score = image.low + (level / 255) * (image.high - image.low);
    const place = high > low ? Math.round(255 * Math.min(1, Math.max(0, (score - low) / (high - low)))) : 0;
    const [red, green, blue] = RAMP.subarray(3 * place);
    colours[level] = ((over ? place : 255) << 24 | blue << 16 | green << 8 | red) >>> 0;
  }
  const whole = new Uint32Array(data.buffer);
  for (let k = 0; k < whole.length; k += 1) whole[k] = colours[data[4 * k]];
  area.putImageData(pixels, 0, 0);
}
function scoreMap(image, scale, over, name = "") {
  const canvas = make("canvas", { width: 1, height: 1 });
  if (name) { canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", name); }
  else canvas.setAttribute("aria-hidden", "true");
  paint(canvas, image, scale, over);
  return canvas;
}
const shortly = (value) => Number(value.toPrecision(3)).toString();
/** A bar of the colours with the scores at its ends. */
function legend(scale, what) {
  const stops = Array.from({ length: 9 }, (_, k) => `rgb(${[...RAMP.subarray(3 * Math.round(k * 31.875)).slice(0, 3)]})`);
  const bar = make("i");
  bar.style.background = `linear-gradient(90deg, ${stops})`;
  return [`score ≤ ${shortly(scale[0])} `, bar, ` ≥ ${shortly(scale[1])}: ${what}`];
}
