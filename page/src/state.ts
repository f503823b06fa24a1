// What is chosen in the page; every view follows it.

export interface State {
  /** The chosen row of the whole tree. */
  row: number;
  /** What sizes are by: a column of numbers, or `seconds`. */
  metric: string;
  device: string;
}

type Key = keyof State;

export class Store {
  private readonly listeners = new Map<Key, ((state: State) => void)[]>();

  constructor(readonly state: State) {}

  /** Calls when one of the keys changes. */
  on(keys: Key[], call: (state: State) => void): void {
    for (const key of keys) this.listeners.set(key, [...(this.listeners.get(key) ?? []), call]);
  }

  set(change: Partial<State>): void {
    const changed = (Object.keys(change) as Key[]).filter((key) => change[key] !== this.state[key]);
    Object.assign(this.state, change);
    for (const call of new Set(changed.flatMap((key) => this.listeners.get(key) ?? []))) call(this.state);
  }
}
