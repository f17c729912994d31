// A simulated phone: what React Native and the SDK's bridges give to JavaScript, made of the core's simulation. Its page
// is the app, and its window what the app's process has.

/** Event of the SDK for a failure, as each bridge of @braze/react-native-sdk 22.0.0 sends it. */
export const bridges = {
  // NSMutableDictionary: what is nil is not in it.
  ios: ({ errorCode, reason, userId, signature }) =>
    JSON.parse(JSON.stringify({ error_code: errorCode, user_id: userId, original_signature: signature, reason })),
  // WritableNativeMap.putString: what is null is in it.
  android: ({ errorCode, reason = null, userId = null, signature = null }) =>
    ({ error_code: errorCode, user_id: userId, original_signature: signature, error_reason: reason }),
};

/** The bridges, with codes as the SDK's types have them. */
export const bridgesWithText = Object.fromEntries(
  Object.entries(bridges).map(([os, bridge]) => [os, (failure) => ({ ...bridge(failure), error_code: String(failure.errorCode) })]),
);

/** How a `logout` could tell its end: by a function, or by a promise. */
export const endings = {
  callback: (sdk) => (done) => void sdk.logout(() => done(), () => done("push is still registered")),
  promise: (sdk) => () => new Promise((success, failure) => sdk.logout(success, failure)),
};

/** Braze's React Native SDK; `sdk` of the simulation records the calls. A `logout` is of its shape only if that has one. */
function brazeOf(sdk, bridge, ending) {
  let hear = () => {};
  const braze = {
    Events: { SDK_AUTHENTICATION_ERROR: "sdkAuthenticationError", CONTENT_CARDS_UPDATED: "contentCardsUpdated" },
    addListener(event, listener) {
      if (event !== "sdkAuthenticationError") return;
      hear = listener;
      this.subscribe();
    },
    /** What both bridges do for a listener, and again when the SDK is initialised anew. */
    subscribe: () => sdk.subscribeToSdkAuthenticationFailures((failure) => hear(bridge(failure))),
    changeUser: (...words) => void sdk.changeUser(...words),
    setSdkAuthenticationSignature: (token) => void sdk.setSdkAuthenticationSignature(token),
    requestImmediateDataFlush: () => void sdk.requestImmediateDataFlush(),
    requestContentCardsRefresh: () => void sdk.requestContentCardsRefresh?.(),
    refreshFeatureFlags: () => void sdk.refreshFeatureFlags?.(),
    wipeData: () => void sdk.wipeData(),
    disableSDK: () => void sdk.disableSDK(),
    enableSDK: () => void sdk.enableSDK(),
  };
  return sdk.logout ? { ...braze, logout: ending(sdk) } : braze;
}

/** Storage of which each operation ends some time later. `notes`: what is not the session. */
const storageOf = ({ localStorage }, notes) => {
  const later = (work) => new Promise(setImmediate).then(work);
  const known = (key) => {
    // What expo-secure-store takes as a key.
    if (!/^[\w.-]+$/.test(key)) throw new Error(`Invalid key provided to SecureStore: ${key}`);
    return key.replace(".", ":");
  };
  const isNote = (key) => key.endsWith(".disabled");
  return {
    getItem: (key) => later(() => (isNote(key) ? notes.get(key) ?? null : localStorage.getItem(known(key)))),
    setItem: (key, value) => later(() => void (isNote(key) ? notes.set(key, value) : localStorage.setItem(known(key), value))),
    removeItem: (key) => later(() => void (isNote(key) ? notes.delete(key) : localStorage.removeItem(known(key)))),
  };
};

/** What an app hands to the client of React Native. */
const deviceOf = (window, os, storage) => ({
  storage,
  AppState: {
    get currentState() {
      return window.document.hidden ? "background" : "active";
    },
    addEventListener: (type, hear) => type === "change" && window.addEventListener("visibilitychange", () => hear()),
  },
  Platform: { OS: os },
  network: {
    addEventListener(hear) {
      hear({ isConnected: true });
      window.addEventListener("online", () => [null, false, null, true].forEach((isConnected) => hear({ isConnected })));
    },
  },
  host: window,
});

/** Connects the client as an app on `os` would, for the core's simulation. */
export function connectOn(connectBrazeAuth, os, { bridge = bridges[os], ending = endings.callback, storage } = {}) {
  const notes = new Map();
  return (sdk, { initialize, ...options }, window) => {
    const braze = brazeOf(sdk, bridge, ending);
    const again = () => {
      initialize();
      braze.subscribe();
    };
    return connectBrazeAuth(braze, { ...options, initialize: again }, deviceOf(window, os, storage ?? storageOf(window, notes)));
  };
}

/** Milliseconds after which the client takes a flush for done: the SDK does not say. */
const FLUSH = 1000;

/**
 * A scenario as it is in an app: reports name its platform, the native SDK opens sessions by itself, what would wait 50 ms
 * for the lock comes at once, and time says that a flush is done: deadlines come so much sooner after that.
 */
export function scenarioOn(os, scenario) {
  const { steps, ...rest } = JSON.parse(JSON.stringify(scenario), (name, value) => (name === "platform" && value === "web" ? os : value));
  let ahead = 0;
  const own = steps.map(({ in: event, out = [] }) => {
    if (event.answer?.to === "flush") {
      ahead += FLUSH;
      event = { advance: FLUSH };
    } else if (event.advance > 500) {
      const shorter = Math.min(ahead, event.advance);
      ahead -= shorter;
      event = { advance: event.advance - shorter };
    }
    const calls = out.filter((call) => !call.openSession && !call.banners);
    // Which of two promises is fulfilled first says nothing.
    const isMint = calls.findIndex((call) => call.mint);
    const isOver = calls.findIndex((call) => call.loggedOut);
    if (isOver >= 0 && isOver < isMint) calls.push(...calls.splice(isOver, 1));
    return { in: event, out: calls.map((call) => (call.flush === "awaited" ? { flush: [] } : call)) };
  });
  own.forEach(({ in: { advance }, out }, at) => advance === 50 && own[at - 1].out.push(...out.splice(0)));
  return { ...rest, steps: own };
}
