// Compiled, not run: checks that both SDKs have the type that the client requires.

import * as braze from "@braze/web-sdk";
import * as braze5 from "braze-web-sdk-5";
import { connectBrazeAuth, isDueForRefresh, isRefreshable, type BrazeAuth, type Credential, type Identity, type LoginError } from "../dist/index.js";

declare const api: { brazeSession(): Promise<Identity> };

const options = { app: "web", endpoint: "https://auth.example.com", login: () => api.brazeSession() };
const auth: BrazeAuth = connectBrazeAuth(braze, options);
connectBrazeAuth(braze, { ...options, initialize: () => braze.initialize("key", { baseUrl: "https://sdk.example.com" }), deadline: 5000 });
connectBrazeAuth(braze5, { ...options, onReloginNeeded: (code: string) => void code });

declare const firebase: { authStateReady(): Promise<void>; currentUser: { getIdToken(refresh: boolean): Promise<string> } | null };
const exchange = { app: "web", endpoint: "https://auth.example.com" };
const credential: Credential = async (refused) => {
  await firebase.authStateReady();
  return firebase.currentUser?.getIdToken(Boolean(refused));
};
connectBrazeAuth(braze, { ...exchange, credential });
connectBrazeAuth(braze, { ...exchange, credential: () => null, onReloginNeeded: () => {} });
connectBrazeAuth(braze5, { ...exchange, credential: "cookie" });
// @ts-expect-error one of both
connectBrazeAuth(braze, { ...options, credential });
// @ts-expect-error one of both
connectBrazeAuth(braze, exchange);
// @ts-expect-error the server must know the app
connectBrazeAuth(braze, { endpoint: "https://auth.example.com", credential });
// @ts-expect-error a credential changes: it is asked for when it is needed
connectBrazeAuth(braze, { ...exchange, credential: "eyJhbGciOi…" });
// The window of a browser is what the client needs.
connectBrazeAuth(braze, options, window);

export async function use(user: { id: number }, identity: Identity): Promise<boolean[]> {
  const done: boolean = await auth.login(user.id);
  const code: string | undefined = await auth.login(user.id).then(() => undefined, (error: LoginError) => error.code);
  if (code === "opted_out") return [];
  const departure = await auth.logout();
  const lost: "events" | "push" | "session" | undefined = departure.clean ? undefined : departure.lost;
  if (lost) return [];
  return [done, isRefreshable(identity, Date.now()), isDueForRefresh(identity, Date.now())];
}
