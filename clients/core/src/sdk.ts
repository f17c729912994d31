/** What Braze's SDK tells of a refused request, in the Web SDK's words. */
export interface SdkFailure {
  errorCode: number;
  reason?: string;
  userId?: string;
  signature?: string;
}

/**
 * What is used of Braze's SDK, by shape: the npm module `@braze/web-sdk` and the global of the CDN script both fit, and a
 * package of another platform adapts that platform's SDK.
 */
export interface BrazeSdk {
  subscribeToSdkAuthenticationFailures(subscriber: (failure: SdkFailure) => void): unknown;
  changeUser(userId: string, signature?: string): unknown;
  openSession(): unknown;
  setSdkAuthenticationSignature(signature: string): unknown;
  requestImmediateDataFlush(): unknown;
}
