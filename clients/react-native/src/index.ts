/** Keeps Braze's React Native SDK supplied with SDK authentication tokens from a Countersign server. */
export { connectBrazeAuth, type Device, type Options } from "./connect.js";
export { isDueForRefresh, isRefreshable, type Identity } from "../../core/src/identity.js";
export type { BrazeAuth, Credential, Departure, LoginError, Lost } from "../../core/src/options.js";
export type { BrazeReactNative } from "./sdk.js";
export type { Storage } from "./storage.js";
