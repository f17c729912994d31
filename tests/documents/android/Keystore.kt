package android.security.keystore

import java.security.KeyStoreSpi
import java.security.Provider
import java.security.SecureRandom
import java.security.spec.AlgorithmParameterSpec
import java.io.File
import java.io.InputStream
import java.io.OutputStream
import java.security.Key
import java.security.cert.Certificate
import java.util.Date
import java.util.Enumeration
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec

object KeyProperties {
    const val PURPOSE_ENCRYPT = 1
    const val PURPOSE_DECRYPT = 2
    const val BLOCK_MODE_GCM = "GCM"
    const val ENCRYPTION_PADDING_NONE = "NoPadding"
}

class KeyGenParameterSpec private constructor(val alias: String) : AlgorithmParameterSpec {
    class Builder(private val alias: String, private val purposes: Int) {
        fun setBlockModes(vararg modes: String) = apply { require(modes.toList() == listOf("GCM")) }
        fun setEncryptionPaddings(vararg paddings: String) = apply { require(paddings.toList() == listOf("NoPadding")) }
        fun build() = KeyGenParameterSpec(alias).also { require(purposes == 3) }
    }
}

/** On disk, beside the app's folder: they outlive the process. */
private fun stored(alias: String) = File(System.getProperty("folder") + "." + alias)
private val keys = object {
    operator fun get(alias: String): SecretKey? = stored(alias).takeIf { it.exists() }?.let { SecretKeySpec(it.readBytes(), "AES") }
    operator fun set(alias: String, key: SecretKey) = stored(alias).writeBytes(key.encoded)
}

class AesKeys : KeyGeneratorSpi() {
    private lateinit var alias: String
    override fun engineInit(random: SecureRandom?) = error("needs a KeyGenParameterSpec")
    override fun engineInit(size: Int, random: SecureRandom?) = error("needs a KeyGenParameterSpec")
    override fun engineInit(spec: AlgorithmParameterSpec, random: SecureRandom?) {
        alias = (spec as KeyGenParameterSpec).alias
    }
    override fun engineGenerateKey(): SecretKey {
        val bytes = ByteArray(32).also { SecureRandom().nextBytes(it) }
        return SecretKeySpec(bytes, "AES").also { keys[alias] = it }
    }
}

class Keys : KeyStoreSpi() {
    override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit
    override fun engineGetKey(alias: String, password: CharArray?): Key? = keys[alias]
    override fun engineContainsAlias(alias: String) = keys[alias] != null
    override fun engineIsKeyEntry(alias: String) = keys[alias] != null
    override fun engineSize(): Int = error("not used")
    override fun engineAliases(): Enumeration<String> = error("not used")
    override fun engineGetCertificateChain(alias: String): Array<Certificate>? = null
    override fun engineGetCertificate(alias: String): Certificate? = null
    override fun engineGetCertificateAlias(certificate: Certificate): String? = null
    override fun engineGetCreationDate(alias: String): Date? = null
    override fun engineIsCertificateEntry(alias: String) = false
    override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) = error("not used")
    override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) = error("not used")
    override fun engineSetCertificateEntry(alias: String, certificate: Certificate) = error("not used")
    override fun engineDeleteEntry(alias: String) = error("not used")
    override fun engineStore(stream: OutputStream, password: CharArray?) = error("not used")
}

class AndroidKeyStore : Provider("AndroidKeyStore", "1", "a stand-in in memory") {
    init {
        put("KeyStore.AndroidKeyStore", Keys::class.java.name)
        put("KeyGenerator.AES", AesKeys::class.java.name)
    }
}
