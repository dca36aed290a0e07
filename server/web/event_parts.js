/** Pieces that every panel of the event view is made of. */

import { el } from "./dom.js";
import { seconds } from "./words.js";

/** An element of SVG with attributes and children. */
export function drawing(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.flat(Infinity));
  return node;
}

let made = 0;

/** An id that no other element of the page has. */
export function freshId() {
  made += 1;
  return `event-${made}`;
}

/** A titled part of the view. */
export function panel(title, name, ...children) {
  const id = freshId();
  const properties = { class: `panel event-panel event-${name}`, "aria-labelledby": id };
  return el("section", properties, el("h3", { id }, title), ...children);
}

/**
 * A square canvas of `size` px with a caption; `text` says to whoever cannot see it what it shows. `draw(context)` runs
 * when it first comes near the screen.
 */
export function plate(title, { size, text, caption = null, legend = null }, draw) {
  const canvas = el("canvas", { width: size, height: size, role: "img", "aria-label": text });
  whenNear(canvas, () => draw(canvas.getContext("2d")));
  const words = el("figcaption", {}, el("strong", {}, title), caption);
  return { figure: el("figure", { class: "event-plate" }, words, canvas, legend), canvas };
}

function whenNear(node, call) {
  const seen = (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    call();
  };
  const observer = new IntersectionObserver(seen, { rootMargin: "400px" });
  observer.observe(node);
}

/** A labelled slider; `shown(value)` is what stands beside it and is read aloud. */
export function slider(label, { min, max, value }, shown, change) {
  const id = freshId();
  const output = el("output", { for: id });
  const input = el("input", { id, type: "range", min, max, value });
  const tell = () => {
    output.textContent = shown(input.valueAsNumber);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    tell();
    change(input.valueAsNumber);
  });
  tell();
  return { row: el("div", { class: "event-slider" }, el("label", { for: id }, label), input, output), input };
}

/** Draws pixels, `colourAt(i)` being red, green and blue, over the whole canvas. */
export function paint(context, width, height, colourAt) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    image.data.set(colourAt(i), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  if (context.canvas.width === width) {
    context.putImageData(image, 0, 0);
    return;
  }
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, context.canvas.width, context.canvas.height);
}

/** A colour function of `paint` for gray levels. */
export function grayAt(pixels) {
  return (i) => [pixels[i], pixels[i], pixels[i]];
}

/** A bar of the colours from `low` to 1, numbers below it, and what they count. `tell(numbers)` changes these. */
export function colourBar(colourOf, low, numbers, unit) {
  const canvas = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  paint(canvas.getContext("2d"), 256, 1, (i) => colourOf(low + ((1 - low) * i) / 255));
  const ticks = el("span", { class: "event-ticks" });
  const tell = (values) => ticks.replaceChildren(...values.map((value) => el("span", {}, value)));
  tell(numbers);
  return { bar: el("div", { class: "event-bar" }, canvas, ticks, el("span", { class: "event-note" }, unit)), tell };
}

/** Seconds of the clip with their unit. */
export function clock(value) {
  return `${seconds(value)} s`;
}
