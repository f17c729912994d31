package com.braze

import android.content.Context
import com.braze.configuration.BrazeConfig
import com.braze.events.BrazeSdkAuthenticationErrorEvent
import com.braze.events.IEventSubscriber
import com.braze.push.BrazePushUnregistrationException
import java.io.File
import java.util.WeakHashMap
import java.util.concurrent.LinkedBlockingQueue
import kotlin.coroutines.suspendCoroutine

/** The SDK's calls are recorded. What it stores is a file, so that it outlives the process. */
class Braze private constructor(private val context: Context) {
    private val subscribers = mutableListOf<IEventSubscriber<BrazeSdkAuthenticationErrorEvent>>()

    fun subscribeToSdkAuthenticationFailures(subscriber: IEventSubscriber<BrazeSdkAuthenticationErrorEvent>) {
        subscribers += subscriber
    }
    fun <T> removeSingleSubscription(subscriber: IEventSubscriber<T>?, eventClass: Class<T>) {
        subscribers.removeAll { it === subscriber }
    }
    fun changeUser(userId: String?, signature: String?) {
        store(context).writeText("$signature")
        record("changeUser", userId, signature)
    }
    fun setSdkAuthenticationSignature(signature: String) {
        store(context).writeText(signature)
        record("setSignature", signature)
    }
    fun requestImmediateDataFlush() {
        record("flush")
        val token = store(context).takeIf { it.exists() }?.readText()
        if (token in expired) fail(token)
    }

    /** 43.0.0: one request; wipes and disables if it is accepted, and does neither if it is refused. */
    suspend fun logout() {
        val token = store(context).readText()
        record("push/unregister", token)
        if (pushAnswer == "none") suspendCoroutine<Unit> { }
        if (pushAnswer == "refusal" || token in expired) throw BrazePushUnregistrationException("refused", true, 401)
        wipeData(context)
        disableSdk(context)
    }

    /** As the SDK does after a refused request. */
    fun fail(signature: String?) {
        check(subscribers.size == 1) { "${subscribers.size} subscribers" }
        subscribers[0].trigger(BrazeSdkAuthenticationErrorEvent(22, "EXPIRED", "42", signature))
    }

    private fun record(vararg call: String?) {
        val token = call.last()
        val isLate = call.size > 1 && token != null && call[0] != "push/unregister" && !isSaved(token)
        calls.put(call.joinToString(" ") + (if (isDisabled(context)) " disabled" else "") + if (isLate) " unsaved" else "")
    }

    companion object {
        val calls = LinkedBlockingQueue<String>()
        /** `acceptance`, `refusal`, or `none`: the call never returns, and cannot be cancelled. */
        var pushAnswer = "acceptance"
        val expired = mutableSetOf<String>()
        /** Tells whether the app has saved a token. */
        var isSaved: (String) -> Boolean = { true }

        fun store(context: Context) = File(context.noBackupFilesDir, "com.braze")
        private fun mark(context: Context) = File(context.noBackupFilesDir, "com.braze.disabled")
        private fun isDisabled(context: Context) = mark(context).exists()

        fun configure(context: Context, configuration: BrazeConfig?) = check(configuration!!.isSdkAuthenticationEnabled)
        fun wipeData(context: Context) {
            store(context).delete()
            calls.put("wipe")
        }
        fun disableSdk(context: Context) {
            mark(context).createNewFile()
            // Whoever calls it now gets another one, to which nobody has subscribed.
            instances.remove(context)
            calls.put("disable")
        }
        fun enableSdk(context: Context) {
            mark(context).delete()
            calls.put("enable")
        }

        private val instances = WeakHashMap<Context, Braze>()
        @JvmStatic
        @Synchronized
        fun getInstance(context: Context): Braze = instances.getOrPut(context) { Braze(context) }
    }
}
