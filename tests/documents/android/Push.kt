package com.braze.push

class BrazePushUnregistrationException(message: String, val isRetriable: Boolean, val httpStatusCode: Int?) : Exception(message)
