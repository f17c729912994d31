// Braze's React Native SDK, in the words of the core.

import type { BrazeSdk, SdkFailure } from "../../core/src/sdk.js";

/**
 * What both bridges send, by their sources in 22.0.0: a number, of which the SDK's types say that it is a string, and the
 * rest of it as strings. `error_reason` is missing in the types.
 */
export interface BrazeEvent {
  error_code?: string | number | null;
  user_id?: string | null;
  original_signature?: string | null;
  /** Its name on iOS. */
  reason?: string | null;
  /** Its name on Android. */
  error_reason?: string | null;
}

/** What is used of `@braze/react-native-sdk`, by shape. */
export interface BrazeReactNative {
  Events: { SDK_AUTHENTICATION_ERROR: "sdkAuthenticationError" };
  addListener(event: "sdkAuthenticationError", hear: (event: BrazeEvent) => void): unknown;
  changeUser(userId: string, signature?: string): void;
  setSdkAuthenticationSignature(signature: string): void;
  requestImmediateDataFlush(): void;
  wipeData(): void;
  disableSDK(): void;
  enableSDK(): void;
  requestContentCardsRefresh(): void;
  refreshFeatureFlags(): void;
  /**
   * Unregisters push, then disables the SDK and wipes its data. 22.0.0 has none. How that of 23 tells its end could not be
   * read: it may give a promise, or call back as the SDK's other functions do.
   */
  logout?(done: (error?: unknown) => void): unknown;
}

/** What the Android SDK says where it knows no code. */
const NO_CODE = -1;

/** Milliseconds for which a logout lets the SDK send, which does not say when it has; only a refusal is heard. */
const FLUSH = 1e3;

/** Puts an event into the core's words. What is not known is null on Android, and left out on iOS. */
export function failureOf(event: BrazeEvent): SdkFailure {
  const failure: SdkFailure = { errorCode: Number(event.error_code) || NO_CODE };
  const reason = event.reason || event.error_reason;
  if (reason) failure.reason = reason;
  if (event.user_id) failure.userId = event.user_id;
  if (event.original_signature) failure.signature = event.original_signature;
  return failure;
}

/** A note that the SDK may be disabled, which outlives the app: the SDK's own mark does, and cannot be read. */
export interface Note {
  get(): boolean;
  set(isDisabled: boolean): void;
}

/** The SDK as the core calls it. `subscribe` takes its listener. With a logout only if `hasLogout`. */
export function sdkOf(
  braze: BrazeReactNative,
  subscribe: BrazeSdk["subscribeToSdkAuthenticationFailures"],
  later: (work: () => void, milliseconds: number) => unknown,
  note: Note,
  hasLogout: boolean,
): BrazeSdk {
  let refusals = 0;
  const sdk: BrazeSdk = {
    subscribeToSdkAuthenticationFailures: (hear) =>
      subscribe((failure) => {
        refusals++;
        hear(failure);
      }),
    changeUser: (userId, signature) => braze.changeUser(userId, signature),
    // The native SDKs open sessions by themselves.
    openSession() {},
    setSdkAuthenticationSignature: (signature) => braze.setSdkAuthenticationSignature(signature),
    requestImmediateDataFlush(done) {
      const before = refusals;
      braze.requestImmediateDataFlush();
      if (done) later(() => done(refusals === before), FLUSH);
    },
    requestContentCardsRefresh: () => braze.requestContentCardsRefresh(),
    refreshFeatureFlags: () => braze.refreshFeatureFlags(),
  };
  if (!hasLogout) return sdk;
  return Object.assign(sdk, {
    logout(success: () => void, failure: () => void) {
      note.set(true);
      const done = () => {
        // It may come so late that the next user's login has enabled the SDK meanwhile.
        note.set(true);
        success();
      };
      const given = braze.logout!((error) => (error ? failure() : done()));
      if (given instanceof Promise) given.then(done, failure);
    },
    wipeData: () => braze.wipeData(),
    disableSDK() {
      note.set(true);
      braze.disableSDK();
    },
    enableSDK() {
      braze.enableSDK();
      note.set(false);
    },
    isDisabled: () => note.get(),
  });
}
