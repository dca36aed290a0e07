// Server-sent events in a text that grows (https://html.spec.whatwg.org/multipage/server-sent-events.html).

/** Tells each event that is whole, once. */
export class EventStream {
  #told = 0;
  #tell;

  /** @param {(event: string, data: string) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** @param {string} text all that came so far */
  take(text) {
    for (;;) {
      const end = text.indexOf("\n\n", this.#told);
      if (end < 0) return;
      const lines = text.slice(this.#told, end).split("\n");
      this.#told = end + 2;
      const field = (name) =>
        lines
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, ""))
          .join("\n");
      if (field("data")) this.#tell(field("event") || "message", field("data"));
    }
  }
}
