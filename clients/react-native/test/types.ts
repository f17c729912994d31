// Compiled, not run: what the SDK, React Native and the usual storages have is what the client requires.

import AsyncStorage from "@react-native-async-storage/async-storage";
import NetInfo from "@react-native-community/netinfo";
import Braze from "@braze/react-native-sdk";
import Braze16 from "braze-react-native-sdk-16";
import * as SecureStore from "expo-secure-store";
import { AppState, Platform } from "react-native";
import {
  connectBrazeAuth,
  isDueForRefresh,
  isRefreshable,
  type BrazeAuth,
  type BrazeReactNative,
  type Credential,
  type Identity,
  type LoginError,
  type Storage,
} from "@countersign/braze-react-native";

declare const api: { brazeSession(): Promise<Identity> };

const device = { storage: AsyncStorage, AppState, Platform };
const options = { app: "mobile", endpoint: "https://auth.example.com", login: () => api.brazeSession() };
const auth: BrazeAuth = connectBrazeAuth(Braze, options, device);
connectBrazeAuth(Braze16, options, device);
connectBrazeAuth(Braze, { ...options, onReloginNeeded: (code: string) => void code }, { ...device, network: NetInfo });

const exchange = { app: "mobile", endpoint: "https://auth.example.com", sdkVersion: "22.0.0" };
const credential: Credential = async (refused) => (refused ? null : "eyJhbGciOi…");
connectBrazeAuth(Braze, { ...exchange, credential }, device);
connectBrazeAuth(Braze, { ...exchange, credential: () => null }, device);
// @ts-expect-error one of both
connectBrazeAuth(Braze, { ...options, credential }, device);
// @ts-expect-error one of both
connectBrazeAuth(Braze, exchange, device);
// @ts-expect-error there is no browser whose cookies could be sent
connectBrazeAuth(Braze, { ...exchange, credential: "cookie" }, device);
// @ts-expect-error the session must be kept somewhere
connectBrazeAuth(Braze, options, { AppState, Platform });
// 23 and later have `logout`, of a shape that could not be read.
connectBrazeAuth({ ...Braze, logout: () => {} }, { ...options, initialize: () => Braze.initialize("key", "sdk.test"), deadline: 5000 }, device);
connectBrazeAuth({ ...Braze, logout: async () => {} }, options, device);
connectBrazeAuth({ ...Braze, logout: (callback?: (error?: object) => void) => void callback }, options, device);
// @ts-expect-error its names are others
const storage: Storage = SecureStore;
// @ts-expect-error the Web SDK is another one
const web: BrazeReactNative = { subscribeToSdkAuthenticationFailures() {}, changeUser() {}, openSession() {} };

export async function use(user: { id: number }, identity: Identity): Promise<unknown[]> {
  const done: boolean = await auth.login(user.id);
  const code: string | undefined = await auth.login(user.id).then(() => undefined, (error: LoginError) => error.code);
  const departure = await auth.logout();
  if (!departure.clean) return [departure.lost];
  return [done, code, storage, web, isRefreshable(identity, Date.now()), isDueForRefresh(identity, Date.now())];
}
