package com.braze.events

fun interface IEventSubscriber<T> {
    fun trigger(message: T)
}

class BrazeSdkAuthenticationErrorEvent(
    val errorCode: Int,
    val errorReason: String?,
    val userId: String?,
    val signature: String?,
)
