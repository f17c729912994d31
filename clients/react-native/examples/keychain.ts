import * as Keychain from "react-native-keychain";

export const secureStore = {
  getItem: async (service: string) => {
    const found = await Keychain.getGenericPassword({ service });
    return found ? found.password : null;
  },
  setItem: (service: string, value: string) =>
    Keychain.setGenericPassword("countersign", value, {
      service,
      accessible: Keychain.ACCESSIBLE.AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY,
    }),
  removeItem: (service: string) => Keychain.resetGenericPassword({ service }),
};
