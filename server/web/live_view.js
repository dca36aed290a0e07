// The elements of the live tab; what they do is in live.js.

import { el } from "./dom.js";

/** Pictures per second that may be asked for; 0 is the camera's highest. */
const RATES = [
  [0, "the camera’s most"],
  [30, "30"],
  [60, "60"],
  [120, "120"],
];
const SIZES = [
  ["640x480", "640 × 480"],
  ["1280x720", "1280 × 720"],
  ["1920x1080", "1920 × 1080"],
];

const SPEEDS = [
  [1, "as it was filmed"],
  [0.5, "half"],
  [0.25, "a quarter"],
];

const options = (pairs) => pairs.map(([value, text]) => el("option", { value }, text));

function field(id, label, control, note) {
  control.id = id;
  return el("div", {}, el("label", { for: id }, label), control,
    typeof note === "string" ? el("p", { class: "muted small" }, note) : note);
}

function choice(value, title, text, checked) {
  return el("label", { class: "choice" },
    el("input", { type: "radio", name: "live-from", value, checked }),
    el("span", {}, el("strong", {}, title), el("small", { class: "muted" }, text)),
  );
}

/** What to look at, and the consent before a camera is asked for. */
function setup(view) {
  view.camera = el("select");
  view.size = el("select", {}, ...options(SIZES));
  view.rate = el("select", {}, ...options(RATES));
  view.faces = el("select", {}, ...options([["largest", "the largest"], ["all", "all of them"]]));
  view.sample = el("select");
  view.speed = el("select", {}, ...options(SPEEDS));
  view.sampleText = el("p", { class: "muted small" });
  view.agree = el("input", { type: "checkbox", id: "live-agree" });
  view.start = el("button", { type: "submit", class: "primary" }, "Start the camera");
  view.cameraFields = el("div", { class: "options" },
    field("live-camera", "Camera", view.camera),
    field("live-size", "Size of the picture", view.size, "Smaller ones are often faster."),
    field("live-rate", "Pictures a second", view.rate, "More show quicker movements."),
    field("live-faces", "Faces", view.faces),
  );
  view.sampleFields = el("div", { class: "options" },
    field("live-sample", "Sample", view.sample, view.sampleText),
    field("live-speed", "Speed", view.speed, "Slowly, eyes can follow, and slow machines too. What is found stays the same."),
  );
  view.consent = el("div", { class: "callout consent" },
    el("p", {}, "Pictures of the camera go to this service alone. It looks at them in its memory and forgets them after seconds. ",
      el("strong", {}, "Nothing is recorded"), ", here or there. Stop, go elsewhere, or close the page, and the camera is off."),
    el("label", { for: "live-agree" }, view.agree, " I know this, and everybody who is in view knows and agrees."),
  );
  view.form = el("form", { class: "panel", novalidate: true },
    el("h2", {}, "Watch a face live"),
    el("p", { class: "muted measure" }, "The page shows how brows, eyelids, nose, mouth and chin move while they do, and names an expression a moment after it has ended."),
    el("fieldset", { class: "choices" }, el("legend", { class: "hidden-text" }, "Source"),
      choice("camera", "A camera", "Your own face, now", true),
      choice("sample", "A sample", "Try it without a camera", false)),
    view.cameraFields, view.sampleFields, view.consent,
    el("p", { class: "row" }, view.start),
  );
  return view.form;
}

/** The preview, and the state of face and camera. */
function preview(view) {
  view.video = el("video", { muted: true, playsinline: true, "aria-label": "Preview" });
  view.video.muted = true;
  view.overlay = el("canvas", { "aria-hidden": "true" });
  view.stage = el("div", { class: "stage" }, view.video, view.overlay);
  // A phone that is turned over gives another picture.
  view.video.addEventListener("resize", () => {
    const { videoWidth, videoHeight } = view.video;
    if (videoWidth) view.stage.style.aspectRatio = `${videoWidth} / ${videoHeight}`;
  });
  view.status = el("p", { class: "status", "data-state": "connecting" });
  view.face = el("p", { class: "says" });
  view.rateSays = el("p", { class: "says" });
  view.behind = el("p", { class: "says", hidden: true });
  view.gap = el("p", { class: "says", hidden: true });
  view.stop = el("button", { type: "button", class: "primary" }, "Stop");
  view.figures = el("dl", { class: "figures" });
  view.running = el("div", { class: "panel", hidden: true },
    el("div", { class: "row spread" }, view.status, view.stop),
    view.stage, view.face, view.rateSays, view.behind, view.gap,
    el("details", {}, el("summary", {}, "Figures"), view.figures),
  );
  return view.running;
}

function motion(view) {
  view.timeline = el("canvas", { class: "timeline", role: "img",
    "aria-label": "Motion of brows, eyelids, cheeks and nose, mouth and chin over the last twelve seconds, with movements as bands. The list of movements says the same in words." });
  view.motion = el("div", { class: "panel", hidden: true },
    el("h2", {}, "Motion of the face"),
    view.timeline,
    el("p", { class: "muted small" }, "How far each part of the face is from where it rests. The dashed line is 1.5 % of the distance between the eyes: from about there something counts as a movement."),
  );
  return view.motion;
}

function seen(view) {
  view.movements = el("ol", { class: "movements", tabindex: "0", "aria-label": "Movements, newest first" });
  view.nothing = el("p", { class: "muted" },
    "Nothing yet. A movement is told when it begins (onset), when it has passed its strongest moment (apex), and when it is over (offset); only then is it named.");
  view.save = el("button", { type: "button", disabled: true }, "Save events (JSON Lines)");
  view.seen = el("div", { class: "panel", hidden: true },
    el("div", { class: "row spread" }, el("h2", {}, "What moved"), view.save),
    view.nothing, view.movements,
  );
  return view.seen;
}

/** Everything that is there, in `container`: what the page changes, by name. */
export function buildView(container) {
  const view = {};
  view.problem = el("div", { class: "panel callout bad", role: "alert", hidden: true });
  view.summary = el("div", { class: "panel callout fine", tabindex: "-1", hidden: true });
  container.replaceChildren(
    el("h1", { class: "hidden-text" }, "Look at a face live"),
    view.problem,
    view.summary,
    setup(view),
    el("div", { class: "live-columns" }, el("div", { class: "live-column" }, preview(view), motion(view)), seen(view)),
  );
  return view;
}

/** Replace a list of terms and figures. */
export function showFigures(list, pairs) {
  list.replaceChildren(...pairs.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))));
}
