import { FetchStore } from "zarrita";

const KEPT = 48; // answers: a screenful of chunks

/** Asks once for a chunk that several channels of a picture share, and says in words what went wrong. */
export class SharedFetches extends FetchStore {
  #answers = new Map();

  get(key, options = {}) {
    let answer = this.#answers.get(key);
    if (!answer) {
      // without the caller's abort signal: another channel may be waiting for the same bytes
      answer = super.get(key, { ...options, signal: undefined }).catch((error) => {
        this.#answers.delete(key);
        throw error instanceof TypeError ? new Error("the server does not answer: is it still running?") : error;
      });
      this.#answers.set(key, answer);
      if (this.#answers.size > KEPT) this.#answers.delete(this.#answers.keys().next().value);
    }
    return answer;
  }
}
