// What codes and names of the service mean, in plain words. Nothing here depends on the page.

const SENTENCES = {
  // Problems: why there is no answer, and what to do.
  "backend-error": "The model could not be asked. Try again; if it stays so, tell whoever runs this service.",
  "backend-unavailable": "The model does not answer at the moment. Try again in a little while.",
  "budget-spent": "What may be asked of this model for now is used up. Try again later, or choose another model.",
  cancelled: "Cancelled. The service has stopped and has kept nothing.",
  "credential-ended": "The key does not hold any more. Enter another one.",
  "deadline-exceeded": "It took too long. Send a shorter clip, or try again when the service has less to do.",
  "empty-media": "The file is empty. Check whether it was copied completely.",
  "face-lost": "The face was out of the picture for too much of the clip to say anything. Choose a part in which it stays in view.",
  "foreign-host": "The service is not known by this name. Open it under its own address.",
  "foreign-origin": "This page may not open that. Open the page at the service’s own address.",
  "header-too-large": "The browser sent more than the service takes before the clip itself. A shorter key may help.",
  internal: "Something failed that should not have. Tell whoever runs this service the number of the request.",
  "invalid-input": "The service could not use what it was sent.",
  "invalid-option": "One of the options cannot be used like that.",
  "limit-exceeded": "The clip is larger than this service takes. Send a shorter or smaller one, or ask whoever runs it to raise the limit.",
  "malformed-request": "The service could not read the request.",
  "method-not-allowed": "The service does not do that here.",
  misconfigured: "The service is not set up completely. Tell whoever runs it the number of the request.",
  "model-error": "This model cannot be used. Choose another one.",
  "model-not-servable": "This model cannot be used here. Choose another one.",
  "no-face": "No face was found in any picture. Send a clip that shows a face, upright, and large enough: 80 pixels or more between the eyes.",
  "no-video": "The file has no picture, only sound or nothing. Send a video.",
  "not-acceptable": "This service does not make that kind of file.",
  "not-found": "There is nothing at this address of the service.",
  overloaded: "The service is busy. Try again in a moment.",
  "permission-denied": "This key does not allow that. Ask whoever gave it to you.",
  "rate-limited": "That was too often within a short time. Wait a moment and try again.",
  "too-few-frames": "The clip has too few pictures to see a movement. Send a longer one, or one with more pictures a second.",
  "truncated-media": "The end of the file is missing. Check whether it was copied completely.",
  unauthenticated: "The service asks for a key, and this one does not hold or there is none.",
  "unknown-model": "There is no model of that name any more. Choose another one.",
  unreachable: "The service cannot be reached. Check that it runs, then try again.",
  "unreadable-media": "This is not a video that can be read. Send an MP4, WebM, MKV, AVI or MOV file.",
  "unsupported-content-type": "The service does not take this kind of file.",
  "unsupported-media": "This kind of video is not supported. Convert it, for example to H.264 in MP4.",
  "upgrade-required": "This address is for live streams alone.",
  "upload-stalled": "Sending the clip stood still. Check the connection, then try again.",
  "worker-crashed": "The clip could not be processed, and would not be another time. Tell whoever runs this service the number of the request.",
  // Warnings: what to know about an answer.
  "evidence-poor": "The picture is hardly good enough to see a micro-expression, so none found does not mean there was none.",
  "movement-unmeasured": "Something moved, but the head turned too far meanwhile to tell an expression.",
  speech: "The face seemed to speak. Movements of the mouth alone were not taken for expressions then.",
  "clip-short": "The clip is shorter than a fast expression.",
  "clip-truncated": "The clip ends earlier than it says of itself; what was there was looked at.",
  "frames-corrupt": "Damaged pictures were left out.",
  "frames-out-of-order": "Pictures without a time of their own were left out.",
  "resolution-changed": "The size of the picture changed within the clip.",
  "explain-unavailable": "This model does not tell what drove its answer.",
  "explain-incomplete": "Not every event could be asked about what drove its answer.",
  "pictures-left-out": "There are too many events to have pictures of all of them.",
  "mllm-weak": "The label comes from a language model that looks at pictures. Such models are not better than guessing at this.",
  fallback: "Another copy of the model answered, since the usual one did not.",
  // Movements that were looked at and are no events.
  blink: "The eyelids moved as in a blink.",
  cut: "The picture changed at once, as where a film is cut.",
  "head-turn": "The head turned, which moves everything in the picture.",
  unsupported: "Only one place moved, and one that is hard to measure.",
  unmeasured: "The pictures could not be laid over each other well enough to measure it.",
  kind: "It is of a kind that was not asked for.",
};

const SPEECH_MOVEMENT = "The mouth moved as in speech.";

// Reasons for a grade come with their numbers; what can be done about each follows.
const REMEDIES = [
  ["the face is small", "Film closer, or at a higher resolution."],
  ["the face is blurred", "Focus on the face, use more light, and compress less."],
  ["the head is turned", "Let the face look at the camera."],
  ["the head is tilted", "Put the camera at the height of the eyes."],
  ["the frame rate is low", "Film with more pictures a second: 100 or 200 show the quickest movements."],
  ["the face is partly outside", "Keep the whole face in the picture."],
  ["nothing moved", "Choose an apex at which the face has moved."],
  ["the movement", "Take it as a hint at most."],
  ["the head turned between", "Let the head rest."],
];

/**
 * What a code of the service means: a problem, a warning, the reason of a candidate, or the reason of a grade.
 * Of a code that is not known, the code itself.
 */
export function sentence(code) {
  if (Object.hasOwn(SENTENCES, code)) return SENTENCES[code];
  const remedy = REMEDIES.find(([start]) => code.startsWith(start));
  if (!remedy) return code;
  return `${code[0].toUpperCase()}${code.slice(1)}. ${remedy[1]}`;
}

/** Why a movement that was looked at is no event; empty where it is one. */
export function candidateSentence({ outcome, reason }) {
  if (outcome === "reported") return "";
  return reason === "speech" ? SPEECH_MOVEMENT : sentence(reason || "unmeasured");
}

const UNITS = {
  1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser", 6: "cheek raiser",
  7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser", 12: "lip corner puller", 14: "dimpler",
  15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser", 18: "lip pucker", 20: "lip stretcher",
  23: "lip tightener", 24: "lip pressor", 25: "lips part", 26: "jaw drop", 38: "nostril dilator", 45: "blink",
  61: "gaze",
};

/** The name that the Facial Action Coding System (Ekman, Friesen, Hager 2002) gives an action unit. */
export function unitName(au) {
  return UNITS[au] ?? "";
}

const PARTS = {
  brow_inner: "inner brow", brow_middle: "middle of the brow", brow_outer: "outer brow", cheek: "cheek",
  nose_wing: "nose wing", mouth_corner: "mouth corner", lip_upper: "upper lip", lip_lower: "lower lip", chin: "chin",
  lid: "upper eyelid",
};

/** A region such as `mouth_corner_left` in words; sides are those of the picture. */
export function regionName(region) {
  const [, part, side] = /^(.*?)(?:_(left|right))?$/.exec(region);
  const name = PARTS[part] ?? part.replaceAll("_", " ");
  return side ? `${name}, ${side}` : name;
}

const GROUPS = [
  ["Brows", "brow_"],
  ["Eyelids", "lid_"],
  ["Cheeks and nose", "cheek_", "nose_"],
  ["Mouth", "mouth_", "lip_"],
  ["Chin", "chin"],
];

/** The part of the face that a region belongs to. */
export function regionGroup(region) {
  return (GROUPS.find(([, ...starts]) => starts.some((start) => region.startsWith(start))) ?? ["Other"])[0];
}

/** `micro-expression`, as a word of a sentence. */
export function kindName(kind) {
  return `${kind}-expression`;
}

/** How sure the model is, in words. */
export function sureness(event) {
  if (event.abstained) return "too unsure to name it";
  if (event.confidence >= 0.9) return "quite sure";
  if (event.confidence >= 0.7) return "fairly sure";
  return "not very sure";
}

/** The label in words: what it looks like, or that the model does not say. */
export function labelName(event) {
  return event.abstained ? "undecided" : event.label;
}

/** Seconds with two places, as on a stop watch. */
export function seconds(value) {
  return value.toFixed(2);
}

const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** `three micro-expressions` */
export function counted(count, noun) {
  return `${NUMBERS[count] ?? count} ${noun}${count === 1 ? "" : "s"}`;
}

/** With a capital at its beginning. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What an answer found, as a headline. */
export function headline(report) {
  const { events } = report;
  if (events.length === 0) return "No expression found";
  if (events.length === 1) {
    const [event] = events;
    const span = `${seconds(event.onset_s)} to ${seconds(event.offset_s)} s`;
    return `One ${kindName(event.kind)}: ${labelName(event)}, ${span}, ${sureness(event)}`;
  }
  const parts = ["micro", "macro"]
    .map((kind) => [kind, events.filter((event) => event.kind === kind).length])
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => counted(count, kindName(kind)));
  return capital(parts.join(" and "));
}

const GRADES = {
  good: "The picture is good enough for this.",
  fair: "The picture supports this with limits.",
  poor: "The picture hardly supports this.",
};

/** What a grade of the evidence means. */
export function gradeSentence(grade) {
  return GRADES[grade];
}

const STAGES = {
  upload: "Sending the clip",
  queue: "Waiting for a free place",
  decode: "Opening the video",
  faces: "Following the face, picture by picture",
  spotting: "Looking for movements",
  flow: "Measuring each movement",
  inference: "Naming each movement",
  explanation: "Asking what drove each answer",
};

/** A stage of the analysis in words. */
export function stageName(stage) {
  return STAGES[stage] ?? capital(stage);
}

/**
 * A problem document (RFC 9457) for a reader: what is wrong and what to do, what the service said of this one, and
 * how to speak of it.
 */
export function problemWords(problem) {
  const text = sentence(problem.code);
  const known = Object.hasOwn(SENTENCES, problem.code);
  return {
    text: known ? text : `${problem.title ?? "The service refused"}.`,
    detail: problem.detail ?? "",
    wait_s: Number(problem.retry_after_s ?? 0),
    again: Boolean(problem.retryable) || problem.code === "unreachable",
    request: problem.request_id ?? "",
  };
}
