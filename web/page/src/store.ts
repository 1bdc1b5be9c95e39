import { useEffect, useState } from "preact/hooks";

/** Something that changes and says so. */
export interface Store<T> {
  /** The same object until it changed. */
  get(): T;
  subscribe(listener: () => void): () => void;
}

/** What a store holds, now and after each change. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState({});
  useEffect(() => {
    redraw({}); // it may have changed since it was drawn
    return store.subscribe(() => redraw({}));
  }, [store]);
  return store.get();
}

/** The listeners of a store. */
export class Listeners {
  readonly #all = new Set<() => void>();

  readonly add = (listener: () => void): (() => void) => {
    this.#all.add(listener);
    return () => this.#all.delete(listener);
  };

  tell(): void {
    for (const listener of [...this.#all]) listener();
  }
}

/** The time in ms since 1970, to the second: what is drawn with it stays right. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
