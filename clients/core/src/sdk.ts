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
  /** `done`: whether what was queued has arrived. */
  requestImmediateDataFlush(done?: (isSent: boolean) => void): unknown;
  /** Unregisters push, then disables the SDK and wipes its data. It may call neither function. Since Web 6.10. */
  logout?(success?: () => void, failure?: () => void): unknown;
  wipeData?(): unknown;
  disableSDK?(): unknown;
  enableSDK?(): unknown;
  isDisabled?(): boolean;
  requestContentCardsRefresh?(): unknown;
  refreshFeatureFlags?(): unknown;
  requestBannersRefresh?(placements: string[]): unknown;
  getAllBanners?(): object | undefined;
}
