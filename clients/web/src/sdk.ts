/** What Braze's Web SDK tells of a refused request. */
export interface SdkFailure {
  errorCode: number;
  reason?: string;
  userId?: string;
  signature?: string;
}

/** What is used of `@braze/web-sdk`, by shape: the npm module and the global of the CDN script both fit. */
export interface BrazeSdk {
  subscribeToSdkAuthenticationFailures(subscriber: (failure: SdkFailure) => void): unknown;
  changeUser(userId: string, signature?: string): unknown;
  openSession(): unknown;
  setSdkAuthenticationSignature(signature: string): unknown;
  requestImmediateDataFlush(): unknown;
}
