// What the live tab says: states, problems and figures in sentences.

import { LIMITS } from "./live_face.js";
import { capital, seconds, sentence } from "./words.js";

/** `server/faces/quality.py` lets a rate be so much below the one that it asks for. */
const FPS_TOLERANCE = 0.97;
/** Shortest micro-expression, and one as it often is (Yan et al. 2013, How fast are the leaked facial expressions). */
const SHORTEST_S = 0.04;
const USUAL_S = 0.2;

const PROBLEMS = {
  NotAllowedError: [
    "The camera is not allowed",
    "The browser was told not to let this page use the camera. Allow it in the settings of this page, beside the address, then start again.",
  ],
  NotFoundError: [
    "No camera was found",
    "Connect one, then start again. Or choose a sample above, which needs no camera.",
  ],
  NotReadableError: [
    "The camera cannot be used",
    "Another program may have it. Close that program, then start again.",
  ],
  OverconstrainedError: [
    "The camera is not there any more",
    "Choose another one, then start again.",
  ],
  "camera-gone": ["The camera is gone", "It was unplugged, or the browser took it away. What was found until then is below."],
  "insecure-origin": [
    "The browser hides the camera here",
    "Browsers let pages use a camera only over https, or on localhost. Open this page under such an address. A sample works here as well.",
  ],
  "no-encoder": [
    "This browser is too old for this",
    "It cannot make pictures in the background. Use a newer one; clips can be analysed in this one.",
  ],
  "not-encoded": ["The pictures could not be made", "The browser failed to compress a picture of the camera. Start again."],
  unplayable: ["The sample cannot be played", "This browser cannot play it, or the service does not have it any more. Choose another one."],
  "no-samples": ["There are no samples", "This service offers none. Use a camera."],
  "socket-refused": [
    "The live stream was refused",
    "The service answers, but not to a stream from this page. Whoever runs it can admit the page (setting GLIMPSE_SERVER__ALLOWED_ORIGINS), or a proxy between does not let WebSocket through.",
  ],
  unreachable: ["The service cannot be reached", "Check that it runs, then start again."],
  "connection-lost": ["The connection is lost", "It was tried again several times. What was found until then is below."],
  overloaded: ["The service is busy", "All its places for live streams are taken."],
  unauthenticated: ["A key is needed", "This service asks for a key, and none was given or it does not hold. Enter one above, then start again."],
  "credential-ended": ["The key does not hold any more", "It was taken back or has expired. Enter another one above, then start again."],
  "permission-denied": ["The key does not allow this", "Live streams need a key with the scope “live”. Ask whoever gave it to you."],
  "backend-unavailable": ["The model does not answer", "Start again in a little while."],
};

/** Title, what to do, and what the service said itself, of `{code, message, retryAfterS}`. */
export function problemWords({ code, message, retryAfterS }) {
  const [title, text] = PROBLEMS[code] ?? ["The live stream has ended", capital(sentence(code))];
  const wait = retryAfterS >= 1 ? ` It suggests to wait ${Math.ceil(retryAfterS)} seconds.` : "";
  return { title, text: text + wait, detail: message ? capital(message) : "" };
}

const FACES = {
  none: "No face is in view. Look at the camera; more light or coming closer may help.",
  several: "Several faces are in view. Each is followed; the motion below is that of the first.",
  starting: "A face is found. It takes a second or two to learn how it looks at rest.",
  resting: "The face is at rest and well seen.",
  moving: "Something in the face moves.",
  unsteady: "The head moves too much to compare pictures. Hold it still for a moment.",
  small: "The face is small. Come closer.",
  outside: "The face is partly outside of the picture. Move into the middle.",
  sideways: "The head is turned sideways. Look at the camera.",
  down: "The head is tilted down. Put the camera at the height of the eyes.",
  up: "The head is tilted up. Put the camera at the height of the eyes.",
  dark: "The face is dark. Put a light in front of it.",
  bright: "The face is too bright. Use less light, or turn away from it.",
  blurred: "The face is blurred. Use more light, hold still, or wipe the lens.",
};

export const faceSentence = (code) => FACES[code];

const WITHDRAWN = {
  "not-an-expression": "no expression after all: a blink, speech, a turn of the head, or a face that stays where it went",
  "face-lost": "the face was lost from view meanwhile",
  unmeasured: "the pictures could not be laid over each other well enough to measure it",
  "not-classified": "the model did not answer",
  "stream-ended": "the stream ended meanwhile",
  "connection-lost": "the connection was lost meanwhile",
};

export const withdrawnSentence = (reason) => WITHDRAWN[reason] ?? sentence(reason);

const few = (count) => (count < 1.5 ? "one picture at most" : `about ${Math.round(count)} pictures`);

/** What a rate of pictures means for seeing a micro-expression, with its grade. */
export function rateWords(fps) {
  const [good, poor] = LIMITS.fps.map((limit) => limit * FPS_TOLERANCE);
  const rate = `${Math.round(fps)} pictures a second`;
  const usual = few(fps * USUAL_S);
  if (fps < poor) {
    const text = `${rate} are too few: a micro-expression of a fifth of a second gets ${usual}. Take what is found, and what is not, as a hint at most. More light or a lower resolution often makes a camera faster.`;
    return { level: 2, text };
  }
  if (fps < good) {
    const text = `${rate}: a micro-expression of a fifth of a second gets ${usual}, the shortest (a twenty-fifth of a second) ${few(fps * SHORTEST_S)}. Quick ones may be missed.`;
    return { level: 1, text };
  }
  return { level: 0, text: `${rate}: a micro-expression of a fifth of a second gets ${usual}, which is good.` };
}

/** A camera that gives less than it said. */
export const slowerThanSaid = (fps, said) =>
  said && fps < 0.8 * said ? ` The camera announced ${Math.round(said)}; dim light and high resolutions slow it down.` : "";

/** Answers that come late. */
export const behindWords = (delayMs) =>
  `Answers come ${(delayMs / 1000).toFixed(1)} s after their picture, since the service or this machine has much to do. What is drawn over the face is as old.`;

/** What became of a connection that broke. */
export function lostWords(unanswered) {
  const frames = unanswered === 1 ? "1 picture has" : `${unanswered} pictures have`;
  return `The connection broke. ${frames} no answer, and movements that were under way are lost; what was found is kept.`;
}

/** How long a movement lasted and when. */
export const spanWords = (event) =>
  `${seconds(event.onset_s)} to ${seconds(event.offset_s)} s, strongest at ${seconds(event.apex_s)} s`;
