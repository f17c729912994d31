// A platform whose storage is asynchronous, with one page, in the simulated window.

/** Gives the core such storage. What is saved is read from memory, once it is kept. */
export const slowly = (machine) => (braze, options, window) => {
  const { localStorage } = window;
  const name = `countersign:${options.app}`;
  const memory = new Map([[name, localStorage.getItem(name)]]);
  let last = Promise.resolve();
  let writes = 0;
  /** Writes do not overtake each other; what a later one has replaced is not read any more. */
  const write = (key, value, work) => {
    if (value === null) memory.delete(key);
    const mine = ++writes;
    return (last = last.then(() => new Promise(setImmediate)).then(() => {
      work();
      if (mine === writes) memory.set(key, value);
    }));
  };
  const slow = {
    getItem: (key) => memory.get(key) ?? null,
    setItem: (key, value) => write(key, value, () => localStorage.setItem(key, value)),
    removeItem: (key) => write(key, null, () => localStorage.removeItem(key)),
  };
  return machine(braze, options, { ...window, localStorage: slow }, "web");
};

/** Whether a scenario is for one page, with storage. */
export const isForOne = ({ given = {} }) => !given.tabs && given.storage !== false;
