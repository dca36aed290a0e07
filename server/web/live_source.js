// Where pictures come from: a camera, or a sample that plays as if it were one. Both show in the same <video>.

/** Asked for where the reader leaves it to the camera; browsers take the nearest that it has. */
const FASTEST_FPS = 240;
const POLL_MS = 1000 / 120;
const MICROSECONDS = 1e6;

/** The cameras of this machine; without labels before one was allowed. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "videoinput");
}

/** Whether this page can reach a camera at all: browsers hide it on insecure origins. */
export const canReachCameras = () => Boolean(navigator.mediaDevices?.getUserMedia);

/**
 * Ask for a camera and show it in `video`. Raises what `getUserMedia` raises.
 *
 * @param {{deviceId: string, width: number, height: number, frameRate: number}} wish `frameRate` 0: the camera's highest
 */
export async function openCamera(video, wish) {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: false,
    video: {
      ...(wish.deviceId ? { deviceId: { exact: wish.deviceId } } : {}),
      width: { ideal: wish.width },
      height: { ideal: wish.height },
      frameRate: { ideal: wish.frameRate || FASTEST_FPS },
    },
  });
  const [track] = stream.getVideoTracks();
  const release = () => {
    for (const each of stream.getTracks()) each.stop();
    video.srcObject = null;
  };
  try {
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    release();
    throw error;
  }
  let clock = null;
  return {
    kind: "camera",
    announcedFps: track.getSettings().frameRate ?? 0,
    ended: new Promise((resolve) => track.addEventListener("ended", resolve, { once: true })),
    // The two clocks differ, so the one that the first frame has is kept.
    captureUs(now, frame) {
      clock ??= frame?.captureTime === undefined ? "now" : "captureTime";
      return Math.round((clock === "captureTime" ? (frame.captureTime ?? now) : now) * 1000);
    },
    release,
  };
}

/**
 * Show a clip of the service in `video`, once, from its start, at `speed` times its own. Its times are those of the clip
 * at any speed. Raises where the browser cannot play it.
 */
export async function openSample(video, url, speed) {
  video.src = url;
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error("unplayable"));
  });
  video.playbackRate = speed;
  return {
    kind: "sample",
    announcedFps: 0,
    ended: new Promise((resolve) => video.addEventListener("ended", resolve, { once: true })),
    captureUs: (_now, frame) => Math.round((frame?.mediaTime ?? video.currentTime) * MICROSECONDS),
    start: () => video.play(),
    release() {
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

/**
 * Call `look(now, frame)` for every picture that `video` shows: `now` in ms of `performance.now`, `frame` what the
 * browser knows of it, or undefined. Returns a function that ends it.
 */
export function eachPicture(video, look) {
  let on = true;
  if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
    const next = (now, frame) => {
      if (!on) return;
      video.requestVideoFrameCallback(next);
      look(now, frame);
    };
    video.requestVideoFrameCallback(next);
    return () => {
      on = false;
    };
  }
  let shown = -1;
  const timer = setInterval(() => {
    if (video.currentTime === shown) return;
    shown = video.currentTime;
    look(performance.now(), undefined);
  }, POLL_MS);
  return () => clearInterval(timer);
}
