/** The face as a line drawing, with the action units of an event where they pull. */

import { drawing } from "./event_parts.js";
import { OVAL, outlines } from "./face_points.js";
import { PULLS, TWINS, unitSentence, unitTitle } from "./facs.js";

const CROP_IOD_PX = 115.2;
const GUTTER_PX = 44;
const LINE_PX = 17;
const ARROW_IOD = 0.2;

/**
 * An SVG of the landmarks (x, y of 468 points, px of the crop). Each unit is shaded the darker the farther it went, an
 * arrow points the way it moves the skin, and its number stands beside the face.
 */
export function faceDiagram(landmarks, units) {
  const oval = OVAL.map((p) => landmarks[p]);
  const [left, right] = [Math.min, Math.max].map((of) => of(...oval.map(([x]) => x)));
  const [top, bottom] = [Math.min, Math.max].map((of) => of(...oval.map(([, y]) => y)));
  const box = [left - GUTTER_PX, top - 6, right - left + 2 * GUTTER_PX, bottom - top + 12];
  const marks = units.flatMap((unit) => marksOf(unit, landmarks));
  for (const side of ["left", "right"]) spread(marks.filter((mark) => mark.side === side), bottom);
  return drawing(
    "svg",
    {
      viewBox: box.join(" "),
      role: "img",
      class: "event-face",
      "aria-label": `Where the action units are on the face: ${units.map(unitSentence).join("; ")}.`,
    },
    drawing("path", { class: "event-outline", d: outlines(landmarks) }),
    marks.map((mark) => drawnMark(mark, mark.side === "left" ? left - 6 : right + 6)),
  );
}

/** What is drawn for one unit: for each side its places, `[x, y, x and y of the arrow's tip]`. */
function marksOf(unit, landmarks) {
  const sides = unit.side === "both" ? ["left", "right"] : [unit.side];
  return sides.flatMap((side) => {
    // What lies on the midline is drawn once.
    const here = (PULLS[unit.au] ?? []).filter(([p]) => p in TWINS || side === sides.at(-1));
    if (here.length === 0) return [];
    const sign = side === "left" ? -1 : 1;
    const places = here.map(([p, outward, up]) => {
      const [x, y] = landmarks[side === "right" ? TWINS[p] ?? p : p];
      const reach = (ARROW_IOD * CROP_IOD_PX) / Math.hypot(outward, up);
      return [x, y, x + sign * outward * reach, y - up * reach];
    });
    return [{ unit, side, places, y: places[0][1] }];
  });
}

/** Moves labels of one side apart, so that none covers another. */
function spread(marks, bottom) {
  marks.sort((a, b) => a.y - b.y);
  marks.forEach((mark, i) => {
    if (i) mark.y = Math.max(mark.y, marks[i - 1].y + LINE_PX);
  });
  marks.reverse().forEach((mark, i) => {
    mark.y = Math.min(mark.y, i ? marks[i - 1].y - LINE_PX : bottom - LINE_PX / 2);
  });
}

function drawnMark({ unit, side, places, y }, edge) {
  const inward = side === "left" ? 1 : -1;
  const [x, top] = places[0];
  return drawing(
    "g",
    { class: "event-unit-mark", "data-au": unit.au },
    drawing("title", {}, unitTitle(unit.au)),
    drawing("polyline", { class: "event-leader", points: `${edge},${y} ${edge + 8 * inward},${y} ${x},${top}` }),
    places.map(([cx, cy]) => drawing("circle", { cx, cy, r: 9, "fill-opacity": 0.1 + 0.8 * unit.intensity })),
    places.map(arrow),
    drawing("text", { x: edge - 3 * inward, y: y + 4, "text-anchor": inward > 0 ? "end" : "start" }, `AU ${unit.au}`),
  );
}

function arrow([x, y, tipX, tipY]) {
  const angle = Math.atan2(tipY - y, tipX - x);
  const [a, b] = [-2.6, 2.6].map((turn) => `${tipX + 6 * Math.cos(angle + turn)},${tipY + 6 * Math.sin(angle + turn)}`);
  return drawing("polyline", { class: "event-pull", points: `${x},${y} ${tipX},${tipY} ${a} ${tipX},${tipY} ${b}` });
}
