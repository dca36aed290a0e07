// The clip, and beside it the face laid level by the transforms of the report.

import { el } from "./dom.js";
import { AlignedFace } from "./aligned_face.js";
import { seconds } from "./words.js";

const SPEEDS = [1, 0.5, 0.25, 0.1];

export class Player {
  #video;
  #url;
  #face;
  #report;
  #moved;
  #clock;
  #following = true;

  /** @param {{report: object, clip: Blob, moved: (time: number) => void}} with_ */
  constructor(panel, { report, clip, moved }) {
    this.#report = report;
    this.#moved = moved;
    this.#url = URL.createObjectURL(clip);
    this.#video = el("video", { src: this.#url, controls: true, muted: true, playsinline: true, preload: "auto", "aria-label": "The clip" });
    this.#clock = el("output", { class: "clock", "aria-live": "off" });
    this.#face = new AlignedFace(report, this.#video);
    const speed = el("select", { id: "speed", onchange: () => { this.#video.playbackRate = Number(speed.value); } },
      ...SPEEDS.map((each) => el("option", { value: each }, each === 1 ? "normal speed" : `1/${1 / each} of it`)));
    const buttons = [
      el("button", { type: "button", onclick: () => this.step(-1) }, "Picture back"),
      el("button", { type: "button", onclick: () => this.toggle() }, "Play or pause"),
      el("button", { type: "button", onclick: () => this.step(1) }, "Picture on"),
    ];
    const unplayable = el("p", { hidden: true, class: "unplayable" }, "This browser cannot play this kind of video. The face at each event is shown from the report.");
    panel.replaceChildren(
      el("h2", {}, "The clip"),
      el("div", { class: "views" },
        el("figure", {}, this.#video, unplayable, el("figcaption", { class: "muted small" }, "As it was sent")),
        this.#face.figure,
        el("div", { class: "steps no-print" }, this.#clock, ...buttons, el("label", { class: "hidden-text", for: "speed" }, "Speed"), speed)));
    this.#video.addEventListener("error", () => {
      this.#video.hidden = true;
      unplayable.hidden = false;
      for (const button of buttons) button.disabled = true;
      speed.disabled = true;
      this.seek(this.#report.events[0]?.apex_s ?? 0);
    });
    for (const name of ["loadeddata", "seeked", "timeupdate"]) this.#video.addEventListener(name, () => this.#tell(this.#video.currentTime));
    this.#everyPicture();
  }

  get playable() {
    return !this.#video.hidden;
  }

  toggle() {
    if (!this.playable) return;
    if (this.#video.paused) void this.#video.play();
    else this.#video.pause();
  }

  /** One picture on, or with -1 back. */
  step(by) {
    if (!this.playable) return;
    this.#video.pause();
    // To the middle of a picture, since its beginning may round to the one before.
    const rate = this.#report.clip.fps;
    this.seek((Math.floor(this.#video.currentTime * rate + 1e-3) + by + 0.5) / rate);
  }

  /** @param {number} time seconds of the clip */
  seek(time) {
    const within = Math.max(0, Math.min(time, this.#report.clip.duration_s));
    if (this.playable) this.#video.currentTime = within;
    else this.#tell(within);
  }

  /** Show the face of this track. */
  follow(track) {
    this.#face.follow(track);
    this.#tell(this.#video.currentTime);
  }

  close() {
    this.#following = false;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#url);
  }

  #tell(time) {
    this.#clock.textContent = `${seconds(time)} of ${seconds(this.#report.clip.duration_s)} s`;
    this.#face.draw(time);
    this.#moved(time);
  }

  #everyPicture() {
    if (!this.#video.requestVideoFrameCallback) return;
    const next = (_, { mediaTime }) => {
      if (!this.#following) return;
      this.#tell(mediaTime);
      this.#video.requestVideoFrameCallback(next);
    };
    this.#video.requestVideoFrameCallback(next);
  }
}
