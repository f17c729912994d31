// A screen on which somebody logs in and out. Compiled by the package's test, not run on a device.

import type { LoginError } from "@countersign/braze-react-native";
import { useEffect, useState } from "react";
import { Button, Text, TextInput, View } from "react-native";
import { auth } from "./auth";
import { session } from "./session";

/** Braze without a token is no reason to keep anybody out of the app. */
const connectToBraze = (id: string) =>
  auth.login(id).catch((error: LoginError) => console.warn("Braze:", error.code ?? error.message));

export function AccountScreen() {
  const [user, setUser] = useState<string>();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");

  const enter = async (id: string) => {
    setUser(id);
    await connectToBraze(id);
  };
  // At each start of the app: the saved session is used, and nobody is asked.
  useEffect(() => {
    void session.user().then((known) => known && enter(known.id));
  }, []);

  if (user)
    return (
      <View>
        <Text>{user}</Text>
        <Button
          title="Log out"
          onPress={async () => {
            await auth.logout();
            await session.signOut();
            setUser(undefined);
          }}
        />
      </View>
    );
  return (
    <View>
      <TextInput accessibilityLabel="Name" autoCapitalize="none" onChangeText={setName} value={name} />
      <TextInput accessibilityLabel="Password" onChangeText={setPassword} secureTextEntry value={password} />
      <Button title="Log in" onPress={async () => enter((await session.signIn(name, password)).id)} />
    </View>
  );
}
