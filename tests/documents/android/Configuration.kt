package com.braze.configuration

class BrazeConfig private constructor(val isSdkAuthenticationEnabled: Boolean) {
    class Builder {
        private var enabled = false
        fun setIsSdkAuthenticationEnabled(enabled: Boolean) = apply { this.enabled = enabled }
        fun build() = BrazeConfig(enabled)
    }
}
