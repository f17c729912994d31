// The client for React Native: the core with the app's storage, the app's state, and the SDK's bridges.

import { connect } from "../../core/src/connect.js";
import type { BrazeAuth, Credential, Options as CoreOptions } from "../../core/src/options.js";
import type { Host } from "../../core/src/platform.js";
import type { SdkFailure } from "../../core/src/sdk.js";
import { failureOf, type BrazeReactNative } from "./sdk.js";
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
  host?: Host;
}

/** Connects the SDK. Call it once, when the app starts and outside of any component: a failure with no listener is lost. */
export function connectBrazeAuth(braze: BrazeReactNative, options: Options, device: Device): BrazeAuth {
  const host: Host = device.host ?? globalThis;
  const { loaded, load, save } = keeper(device.storage, options.app, host);
  let hear: (failure: SdkFailure) => void;
  let auth: BrazeAuth | undefined;

  const begin = () =>
    (auth = connect(
      {
        subscribeToSdkAuthenticationFailures: (subscriber) => (hear = subscriber),
        changeUser: (userId, signature) => braze.changeUser(userId, signature),
        // The native SDKs open sessions by themselves.
        openSession() {},
        setSdkAuthenticationSignature: (signature) => braze.setSdkAuthenticationSignature(signature),
        requestImmediateDataFlush: () => braze.requestImmediateDataFlush(),
      },
      options,
      host,
      {
        name: device.Platform.OS,
        load,
        save,
        // "inactive" and "unknown" come before and between the others, with the app in view.
        isHidden: () => device.AppState.currentState === "background",
        listen(look, online) {
          device.AppState.addEventListener("change", () => look());
          let isOffline = false;
          device.network?.addEventListener(({ isConnected }) => {
            if (isConnected && isOffline) online();
            // Null: not known, or not yet.
            isOffline = isConnected === null ? isOffline : !isConnected;
          });
        },
      },
    ));

  /** What happens before the saved session is known waits for it, in its order. */
  const connected = loaded.then(begin);
  const whenConnected = <T>(work: (auth: BrazeAuth) => T) => (auth ? work(auth) : connected.then(work));
  braze.addListener(braze.Events.SDK_AUTHENTICATION_ERROR, (event) => void whenConnected(() => hear(failureOf(event))));

  return {
    login: async (userId) => whenConnected((auth) => auth.login(userId)),
    logout: async () => whenConnected((auth) => auth.logout()),
  };
}
