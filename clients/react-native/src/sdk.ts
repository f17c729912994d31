import type { SdkFailure } from "../../core/src/sdk.js";

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
}

/** What the Android SDK says where it knows no code. */
const NO_CODE = -1;

/** Puts an event into the core's words. What is not known is null on Android, and left out on iOS. */
export function failureOf(event: BrazeEvent): SdkFailure {
  const failure: SdkFailure = { errorCode: Number(event.error_code) || NO_CODE };
  const reason = event.reason || event.error_reason;
  if (reason) failure.reason = reason;
  if (event.user_id) failure.userId = event.user_id;
  if (event.original_signature) failure.signature = event.original_signature;
  return failure;
}
