/** Keeps Braze's Web SDK supplied with SDK authentication tokens from a Countersign server. */
export { connectBrazeAuth, type BrazeAuth, type Credential, type LoginError, type Options } from "./connect.js";
export type { Environment } from "./environment.js";
export { isDueForRefresh, isRefreshable, type Identity } from "./identity.js";
export type { BrazeSdk, SdkFailure } from "./sdk.js";
