/** Keeps Braze's Web SDK supplied with SDK authentication tokens from a Countersign server. */
export { connectBrazeAuth } from "./connect.js";
export type { Environment } from "../../core/src/environment.js";
export { isDueForRefresh, isRefreshable, type Identity } from "../../core/src/identity.js";
export type { BrazeAuth, Credential, Departure, LoginError, Lost, Options } from "../../core/src/options.js";
export type { BrazeSdk, SdkFailure } from "../../core/src/sdk.js";
