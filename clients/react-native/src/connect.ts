// The client for React Native: the core with the app's storage, the app's state, and the SDK's bridges.

import type { Environment } from "../../core/src/environment.js";
import { machine } from "../../core/src/machine.js";
import type { BrazeAuth, Credential, Options as CoreOptions } from "../../core/src/options.js";
import type { SdkFailure } from "../../core/src/sdk.js";
import { failureOf, sdkOf, type BrazeReactNative } from "./sdk.js";
import { keeper, type Storage } from "./storage.js";

/** As on the web, without cookies. */
export type Options = CoreOptions & { credential?: Credential };

/** What the client needs of React Native, by shape: the package depends on no version of it. */
export interface Device {
  /** Keeps the session, with its refresh token: AsyncStorage, or better the Keychain and the Keystore. */
  storage: Storage;
  /** `AppState` of `react-native`: in the background no token is refreshed ahead of time. */
  AppState: { readonly currentState: string | null; addEventListener(type: "change", hear: () => void): unknown };
  /** `Platform` of `react-native`: reports of failures name it. */
  Platform: { readonly OS: string };
  /** `NetInfo` of `@react-native-community/netinfo`; without it, a refresh that got no answer waits for its time. */
  network?: { addEventListener(hear: (state: { isConnected: boolean | null }) => void): unknown };
  /** The clock, timers, chance and network. Tests bring their own. */
  host?: Pick<Environment, "Date" | "Math" | "setTimeout" | "clearTimeout" | "fetch">;
}

/** Connects the SDK. Call it once, when the app starts and outside of any component: a failure with no listener is lost. */
export function connectBrazeAuth(braze: BrazeReactNative, options: Options, device: Device): BrazeAuth {
  const host = device.host ?? globalThis;
  const session = "countersign:" + options.app;
  const disabled = session + "/disabled";
  const { loaded, getItem, setItem, removeItem } = keeper(device.storage, [session, disabled], host);
  /** Whether a logout has disabled the SDK; until one does, what is noted of an earlier one. */
  let isDisabled: boolean | undefined;
  let hear: (failure: SdkFailure) => void;
  let auth: BrazeAuth | undefined;

  const setTimeout = (work: () => void, milliseconds: number) => host.setTimeout(work, milliseconds);
  const sdk = sdkOf(
    braze,
    (subscriber) => (hear = subscriber),
    setTimeout,
    {
      get: () => isDisabled ?? !!getItem(disabled),
      set: (now) => void ((isDisabled = now) ? setItem(disabled, "true") : removeItem(disabled)),
    },
    // Both bridges lose their subscriptions with the SDK, and make them anew in `initialize`.
    !!braze.logout && !!options.initialize,
  );
  const window: Environment = {
    Date: host.Date,
    Math: host.Math,
    setTimeout,
    clearTimeout: (timer) => host.clearTimeout(timer),
    fetch: (url, init) => host.fetch(url, init),
    localStorage: { getItem, setItem, removeItem },
    // One process, one client: there is nobody to be alone from.
    navigator: {},
    document: {
      get hidden() {
        // "inactive" and "unknown" come before and between the others, with the app in view.
        return device.AppState.currentState === "background";
      },
    },
    addEventListener(type, wake) {
      if (type === "visibilitychange") device.AppState.addEventListener("change", () => wake({}));
      if (type !== "online") return;
      let isOffline = false;
      device.network?.addEventListener(({ isConnected }) => {
        if (isConnected && isOffline) wake({});
        // Null: not known, or not yet.
        isOffline = isConnected === null ? isOffline : !isConnected;
      });
    },
  };

  /** What happens before the saved session is known waits for it, in its order. */
  const connected = loaded.then(() => (auth = machine(sdk, options, window, device.Platform.OS)));
  const whenConnected = <T>(work: (auth: BrazeAuth) => T) => (auth ? work(auth) : connected.then(work));
  braze.addListener(braze.Events.SDK_AUTHENTICATION_ERROR, (event) => void whenConnected(() => hear(failureOf(event))));

  return {
    login: async (userId) => whenConnected((auth) => auth.login(userId)),
    logout: async () => whenConnected((auth) => auth.logout()),
  };
}
