package com.braze

import android.content.Context
import com.braze.configuration.BrazeConfig
import com.braze.events.BrazeSdkAuthenticationErrorEvent
import com.braze.events.IEventSubscriber
import java.util.WeakHashMap
import java.util.concurrent.LinkedBlockingQueue

/** The SDK's calls are recorded. */
class Braze private constructor() {
    val calls = LinkedBlockingQueue<List<String>>()
    lateinit var subscriber: IEventSubscriber<BrazeSdkAuthenticationErrorEvent>

    fun subscribeToSdkAuthenticationFailures(subscriber: IEventSubscriber<BrazeSdkAuthenticationErrorEvent>) {
        this.subscriber = subscriber
    }
    fun changeUser(userId: String?, signature: String?) = calls.put(listOf("changeUser", "$userId", "$signature"))
    fun setSdkAuthenticationSignature(signature: String) = calls.put(listOf("setSignature", signature))
    fun requestImmediateDataFlush() = calls.put(listOf("flush"))

    companion object {
        fun configure(context: Context, configuration: BrazeConfig?) = check(configuration!!.isSdkAuthenticationEnabled)

        private val instances = WeakHashMap<Context, Braze>()
        @JvmStatic
        @Synchronized
        fun getInstance(context: Context): Braze = instances.getOrPut(context) { Braze() }
    }
}
