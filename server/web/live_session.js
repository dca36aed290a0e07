// One run of the live tab: pictures of a source to the service, over as many connections as it takes.

import { openEncoder } from "./live_encoder.js";
import { openSocket } from "./live_socket.js";
import { eachPicture } from "./live_source.js";

/** Pauses before a lost connection is tried again; when they are used up, it is given up. */
const PAUSES_S = [1, 2, 4, 8, 15, 15];
/** Ends after which the service may be there again: gone, failed, shut down, full, and nothing heard for long. */
const WORTH_ANOTHER_TRY = new Set([1006, 1011, 1012, 1013, 4408]);
const FAREWELL_MS = 10_000;
const NORMAL = 1000;

/**
 * @param {object} how
 * @param {HTMLVideoElement} how.video what `source` shows in
 * @param {object} how.source of live_source.js
 * @param {object} how.options of the stream
 * @param {() => string} how.key the credential, or ""; asked for each connection
 * @param {object} how.on `state(name, detail)` for `connecting`, `running`, `away` and `ending`; `picture(captureUs)`;
 *   `reply(reply, delayMs)`; `lost(unanswered)` when a connection broke; `over(problem, stats)` once, at the end:
 *   `problem` is null or `{code, message, retryAfterS}`
 */
export function openSession({ video, source, options, key, on }) {
  const encoder = openEncoder();
  const counts = { seen: 0, sent: 0, leftOut: 0, away: 0, analysed: 0, dropped: 0, refused: 0, lost: 0 };
  let socket = null;
  let zeroUs = null;
  let tries = 0;
  let begun = false;
  let ending = false;
  let stats = null;
  let ended = null;
  let told = false;
  let timer = 0;
  let sending = Promise.resolve();

  const stopPictures = eachPicture(video, (now, frame) => {
    const captureUs = source.captureUs(now, frame);
    counts.seen += 1;
    on.picture(captureUs);
    if (!begun) return;
    if (!socket?.ready) counts.away += 1;
    else if (encoder.busy || !socket.mayTake(encoder.underWay)) counts.leftOut += 1;
    else sending = Promise.all([sending, send(captureUs, performance.now())]);
  });

  async function send(captureUs, at) {
    const to = socket;
    try {
      const jpeg = await encoder.encode(video);
      if (!jpeg || !to.send(jpeg, captureUs, at)) return;
      zeroUs ??= captureUs;
      counts.sent += 1;
    } catch {
      if (!ending) finish({ code: "not-encoded" });
    }
  }

  function connect() {
    on.state("connecting");
    socket = openSocket({
      options: { ...options, ...(zeroUs === null ? {} : { clock_zero_us: zeroUs }) },
      key: key(),
      onReply: heard,
      onClose: closed,
    });
  }

  function heard(reply, sentAt) {
    if (reply.type === "opened") {
      tries = 0;
      begun = true;
      on.state("running");
      source.start?.();
    } else if (reply.type === "stats") {
      stats = reply;
    } else if (reply.type === "frame_result") {
      counts.analysed += 1;
    } else if (reply.type === "frame_dropped") {
      counts.dropped += 1;
    } else if (reply.type === "frame_refused") {
      counts.refused += 1;
    }
    on.reply(reply, sentAt === undefined ? null : performance.now() - sentAt);
  }

  async function closed({ code, opened, error }) {
    const unanswered = socket.unanswered;
    counts.lost += unanswered;
    if (ending) {
      over(code === NORMAL || !begun ? null : problemOf(code, error));
      return;
    }
    if (opened) on.lost(unanswered);
    if (!begun) {
      finish(error ? problemOf(code, error) : { code: (await reachable()) ? "socket-refused" : "unreachable" });
    } else if (!WORTH_ANOTHER_TRY.has(code) || tries >= PAUSES_S.length) {
      finish(code === 1006 ? { code: "connection-lost" } : problemOf(code, error));
    } else {
      wait(Math.max(PAUSES_S[tries], error?.retry_after_s ?? 0), problemOf(code, error));
    }
  }

  function wait(pauseS, problem) {
    tries += 1;
    on.state("away", { pauseS, problem });
    timer = setTimeout(whenSeen, pauseS * 1000);
  }

  // Of a hidden tab come no pictures: a connection would be closed again for its silence.
  function whenSeen() {
    if (!document.hidden) connect();
    else document.addEventListener("visibilitychange", whenSeen, { once: true });
  }

  /** The camera is released at once; what was sent still has its answers. */
  async function finish(problem) {
    if (ending) return;
    ending = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", whenSeen);
    stopPictures();
    source.release();
    on.state("ending");
    await sending;
    encoder.close();
    if (!socket?.ready) {
      socket?.close();
      over(problem);
      return;
    }
    timer = setTimeout(() => socket.close(), FAREWELL_MS);
    ended = problem;
    socket.end();
  }

  function over(problem) {
    if (told) return;
    told = true;
    clearTimeout(timer);
    on.over(ended ?? problem, stats);
  }

  source.ended.then(() => finish(source.kind === "camera" ? { code: "camera-gone" } : null));
  connect();
  return { counts, stop: () => finish(null) };
}

function problemOf(code, error) {
  if (!error) return { code: `close-${code}` };
  return { code: error.code, message: error.message, retryAfterS: error.retry_after_s, scope: error.scope };
}

/** Whether the service answers at all, so that what is wrong is the stream alone. */
async function reachable() {
  try {
    return (await fetch("/livez", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
