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

/** Braze's React Native SDK; `sdk` of the simulation records the calls. */
const brazeOf = (sdk, bridge) => ({
  Events: { SDK_AUTHENTICATION_ERROR: "sdkAuthenticationError", CONTENT_CARDS_UPDATED: "contentCardsUpdated" },
  addListener(event, hear) {
    if (event === "sdkAuthenticationError") sdk.subscribeToSdkAuthenticationFailures((failure) => hear(bridge(failure)));
  },
  changeUser: (...words) => void sdk.changeUser(...words),
  setSdkAuthenticationSignature: (token) => void sdk.setSdkAuthenticationSignature(token),
  requestImmediateDataFlush: () => void sdk.requestImmediateDataFlush(),
});

/** Storage of which each operation ends some time later, and one after the other. */
const storageOf = ({ localStorage }) => {
  let last = Promise.resolve();
  const later = (work) => (last = last.catch(() => {}).then(() => new Promise(setImmediate)).then(work));
  const known = (key) => {
    // What expo-secure-store takes as a key.
    if (!/^[\w.-]+$/.test(key)) throw new Error(`Invalid key provided to SecureStore: ${key}`);
    return key.replace(".", ":").replace(".leaving", "/leaving");
  };
  return {
    getItem: (key) => later(() => localStorage.getItem(known(key))),
    setItem: (key, value) => later(() => localStorage.setItem(known(key), value)),
    removeItem: (key) => later(() => localStorage.removeItem(known(key))),
  };
};

/** What an app hands to the client of React Native. */
export const deviceOf = (window, os, storage = storageOf(window)) => ({
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
export const connectOn = (connectBrazeAuth, os, bridge = bridges[os], storage) => (sdk, options, window) =>
  connectBrazeAuth(brazeOf(sdk, bridge), options, deviceOf(window, os, storage));

/**
 * A scenario as it is in an app: reports name its platform, the native SDK opens sessions by itself, and what would wait
 * 50 ms for the lock comes at once.
 */
export function scenarioOn(os, scenario) {
  const { steps, ...rest } = JSON.parse(JSON.stringify(scenario), (name, value) => (name === "platform" && value === "web" ? os : value));
  const own = steps.map((step) => ({ in: step.in, out: (step.out ?? []).filter((call) => !call.openSession) }));
  own.forEach(({ in: { advance }, out }, at) => advance === 50 && own[at - 1].out.push(...out.splice(0)));
  return { ...rest, steps: own };
}
