/** Stands for the session that your app already has, such as Firebase's or Auth0's. */
export declare const session: {
  /** Who is logged in, as it was when the app was closed. */
  user(): Promise<{ id: string } | null>;
  signIn(name: string, password: string): Promise<{ id: string }>;
  signOut(): Promise<void>;
  /** The ID token. `fresh`: the last one was refused. */
  idToken(fresh: boolean): Promise<string | null>;
};
