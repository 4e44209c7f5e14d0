"""The voices that exist: ElevenLabs' well-known premade ones and those that were added; each sounds different."""

import hashlib

from videotask_emulators.media.speech import VoiceSound

_PREMADE: dict[str, tuple[str, VoiceSound]] = {
    "21m00Tcm4TlvDq8ikWAM": ("Rachel", VoiceSound(espeak_name="en-us+f2", pitch=48, pitch_range=58)),
    "EXAVITQu4vr4xnSDxMaL": ("Sarah", VoiceSound(espeak_name="en-us+f4", pitch=52, pitch_range=54)),
    "FGY2WhTYpPnrIDTdsKH5": ("Laura", VoiceSound(espeak_name="en-us+f5", pitch=55, pitch_range=60)),
    "XB0fDUnXU5powFXDhCwa": ("Charlotte", VoiceSound(espeak_name="en-gb+f3", pitch=50, pitch_range=55)),
    "Xb7hH8MSUJpSbSDYk0k2": ("Alice", VoiceSound(espeak_name="en-gb+f1", pitch=54, pitch_range=52)),
    "XrExE9yKIg1WjnnlVkGX": ("Matilda", VoiceSound(espeak_name="en-us+f3", pitch=46, pitch_range=50)),
    "cgSgspJ2msm6clMCkdW9": ("Jessica", VoiceSound(espeak_name="en-us+f1", pitch=58, pitch_range=62)),
    "pFZP5JQG7iQjIQuC4Bku": ("Lily", VoiceSound(espeak_name="en-gb+f4", pitch=56, pitch_range=58)),
    "JBFqnCBsd6RMkjVDRZzb": ("George", VoiceSound(espeak_name="en-gb+m3", pitch=36, pitch_range=52)),
    "pNInz6obpgDQGcFmaJgB": ("Adam", VoiceSound(espeak_name="en-us+m1", pitch=34, pitch_range=46)),
    "ErXwobaYiN019PkySvjV": ("Antoni", VoiceSound(espeak_name="en-us+m2", pitch=40, pitch_range=54)),
    "VR6AewLTigWG4xSOukaG": ("Arnold", VoiceSound(espeak_name="en-us+m4", pitch=30, pitch_range=42)),
    "onwK4e9ZLuTAKqWW03F9": ("Daniel", VoiceSound(espeak_name="en-gb+m1", pitch=38, pitch_range=48)),
    "TxGEqnHWrfWFTfGW9XjX": ("Josh", VoiceSound(espeak_name="en-us+m5", pitch=37, pitch_range=50)),
    "CwhRBWXzGAHq8TQ4Fs17": ("Roger", VoiceSound(espeak_name="en-us+m6", pitch=35, pitch_range=48)),
    "IKne3meq5aSn9XLyUdCD": ("Charlie", VoiceSound(espeak_name="en-gb+m7", pitch=42, pitch_range=56)),
    "N2lVS1w4EtoT3dr4eOWO": ("Callum", VoiceSound(espeak_name="en-gb-scotland+m2", pitch=40, pitch_range=52)),
    "nPczCjzI2devNBz1zQrb": ("Brian", VoiceSound(espeak_name="en-us+m7", pitch=28, pitch_range=44)),
    "TX3LPaxmHKxFdv7VOQHJ": ("Liam", VoiceSound(espeak_name="en-us+m3", pitch=46, pitch_range=56)),
    "bIHbv24MWmeRgasZH58o": ("Will", VoiceSound(espeak_name="en-us", pitch=44, pitch_range=54)),
}

_ENGINES = ("en-us", "en-gb", "en-gb-scotland", "en-us+m2", "en-us+f2", "en-gb+m4", "en-gb+f3")


class Voices:
    """Voices by their id; an added one gets a sound of its own from its id."""

    def __init__(self, added: tuple[str, ...] = ()) -> None:
        self._known = dict(_PREMADE)
        for voice_id in added:
            self.add(voice_id)

    def add(self, voice_id: str, name: str = "") -> None:
        """Make a voice exist."""
        seed = hashlib.sha256(voice_id.encode()).digest()
        sound = VoiceSound(
            espeak_name=_ENGINES[seed[0] % len(_ENGINES)], pitch=32 + seed[1] % 30, pitch_range=44 + seed[2] % 18
        )
        self._known.setdefault(voice_id, (name or voice_id, sound))

    def find(self, voice_id: str) -> VoiceSound | None:
        """Return how a voice sounds; None where there is no such voice."""
        known = self._known.get(voice_id)
        return known[1] if known else None

    def all(self) -> dict[str, str]:
        """Return the names by id."""
        return {voice_id: name for voice_id, (name, _) in self._known.items()}
