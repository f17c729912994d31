// The app's one connection. Import it where the app starts, before anything of Braze is called.

import Braze from "@braze/react-native-sdk";
import { connectBrazeAuth } from "@countersign/braze-react-native";
import NetInfo from "@react-native-community/netinfo";
import { AppState, Platform } from "react-native";
import { secureStore } from "./secure-store"; // without Expo: ./keychain
import { session } from "./session";

export const auth = connectBrazeAuth(
  Braze,
  {
    app: "mobile",
    endpoint: "https://auth.example.com",
    sdkVersion: "22.0.0",
    credential: (refused) => session.idToken(refused !== undefined),
    onReloginNeeded: () => session.signOut(),
    // 22.0.0 has no `logout` that would disable it.
    initialize: () => Braze.initialize("BRAZE_API_KEY", "sdk.fra-01.braze.eu"),
  },
  { storage: secureStore, AppState, Platform, network: NetInfo },
);
