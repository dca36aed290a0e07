/** The time of an event as a slider over its pictures, below the motion of what moved most. */

import { el } from "./dom.js";
import { clock, drawing } from "./event_parts.js";
import { regionName } from "./words.js";

/** In which part of the movement a time of the clip is, in words. */
export function phaseAt(event, time_s) {
  if (time_s < event.onset_s) return "before the onset";
  if (time_s < event.apex_s) return "rising from onset to apex";
  return time_s <= event.offset_s ? "falling from apex to offset" : "after the offset";
}

/** `{node, input, move}`: `change(index)` is called when a picture is chosen, `move(index)` follows the loop. */
export function timeTrack(report, event, change) {
  const times = event.pictures.course_s;
  const input = el("input", {
    type: "range",
    min: 0,
    max: times.length - 1,
    value: 0,
    "aria-label": "Picture of the movement",
    oninput: () => change(input.valueAsNumber),
  });
  const marks = ["onset", "apex", "offset"].map((name) => {
    const mark = el("span", { class: `event-mark-${name}` }, name);
    mark.style.setProperty("--at", placeOf(event[`${name}_s`], times));
    return mark;
  });
  const move = (index) => {
    input.value = index;
    const number = `picture ${index + 1} of ${times.length}`;
    input.setAttribute("aria-valuetext", `${clock(times[index])}, ${phaseAt(event, times[index])}, ${number}`);
  };
  const below = el("div", { class: "event-marks", "aria-hidden": "true" }, marks);
  return { node: el("div", { class: "event-time" }, curve(report, event, times), input, below), input, move };
}

/** Where a time is on the slider, 0..1; pictures lie evenly on it, whatever their times. */
function placeOf(time, times) {
  const last = times.length - 1;
  const after = times.findIndex((known) => known >= time);
  if (after === 0) return 0;
  if (after < 0) return 1;
  return (after - 1 + (time - times[after - 1]) / (times[after] - times[after - 1])) / last;
}

function curve(report, event, times) {
  const face = (report.signals ?? []).find(({ track_id: id }) => id === event.track_id);
  const row = face?.motion_iod[face.regions.indexOf(event.regions[0])];
  const known = (face?.times_s ?? [])
    .map((time, i) => [time, row?.[i] ?? null])
    .filter(([time, motion]) => motion !== null && time >= times[0] && time <= times.at(-1));
  if (known.length < 2) return null;
  const largest = Math.max(...known.map(([, motion]) => motion));
  const points = known.map(([time, motion]) => [1000 * placeOf(time, times), 38 - (36 * motion) / largest]);
  const share = `${(100 * largest).toFixed(1)} % of the distance between the eyes`;
  const text = `Motion of what moved most (${regionName(event.regions[0])}): up to ${share}`;
  const line = drawing("polyline", { points: points.map((point) => point.map((x) => x.toFixed(1)).join()).join(" ") });
  const box = { viewBox: "0 0 1000 40", preserveAspectRatio: "none", role: "img", "aria-label": text };
  return el("div", { class: "event-curve" }, el("p", { class: "event-note" }, text), drawing("svg", box, line));
}
