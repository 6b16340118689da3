import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PriorMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIOR_MODE_UNSPECIFIED: _ClassVar[PriorMode]
    PRIOR_MODE_SWAP: _ClassVar[PriorMode]
    PRIOR_MODE_NONE: _ClassVar[PriorMode]
    PRIOR_MODE_GIVEN: _ClassVar[PriorMode]

class Framing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAMING_UNSPECIFIED: _ClassVar[Framing]
    FRAMING_AUTO: _ClassVar[Framing]
    FRAMING_WHOLE: _ClassVar[Framing]
    FRAMING_FACE: _ClassVar[Framing]

class SearchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_STATE_UNSPECIFIED: _ClassVar[SearchState]
    SEARCH_STATE_QUEUED: _ClassVar[SearchState]
    SEARCH_STATE_RUNNING: _ClassVar[SearchState]
    SEARCH_STATE_SUCCEEDED: _ClassVar[SearchState]
    SEARCH_STATE_FAILED: _ClassVar[SearchState]
    SEARCH_STATE_CANCELLED: _ClassVar[SearchState]

class Scalarization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCALARIZATION_UNSPECIFIED: _ClassVar[Scalarization]
    SCALARIZATION_WEIGHTED_SUM: _ClassVar[Scalarization]
    SCALARIZATION_GEOMETRIC_MEAN: _ClassVar[Scalarization]
    SCALARIZATION_RANK_SUM: _ClassVar[Scalarization]

class MissingScores(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSING_SCORES_UNSPECIFIED: _ClassVar[MissingScores]
    MISSING_SCORES_LOWER_BOUND: _ClassVar[MissingScores]
    MISSING_SCORES_DROP: _ClassVar[MissingScores]

class LowDiversity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOW_DIVERSITY_UNSPECIFIED: _ClassVar[LowDiversity]
    LOW_DIVERSITY_REPORT: _ClassVar[LowDiversity]
    LOW_DIVERSITY_WIDEN: _ClassVar[LowDiversity]
    LOW_DIVERSITY_STOP: _ClassVar[LowDiversity]

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_CANCELLED: _ClassVar[ErrorCode]
    ERROR_CODE_UNKNOWN: _ClassVar[ErrorCode]
    ERROR_CODE_INVALID_ARGUMENT: _ClassVar[ErrorCode]
    ERROR_CODE_DEADLINE_EXCEEDED: _ClassVar[ErrorCode]
    ERROR_CODE_NOT_FOUND: _ClassVar[ErrorCode]
    ERROR_CODE_ALREADY_EXISTS: _ClassVar[ErrorCode]
    ERROR_CODE_PERMISSION_DENIED: _ClassVar[ErrorCode]
    ERROR_CODE_RESOURCE_EXHAUSTED: _ClassVar[ErrorCode]
    ERROR_CODE_FAILED_PRECONDITION: _ClassVar[ErrorCode]
    ERROR_CODE_ABORTED: _ClassVar[ErrorCode]
    ERROR_CODE_OUT_OF_RANGE: _ClassVar[ErrorCode]
    ERROR_CODE_UNIMPLEMENTED: _ClassVar[ErrorCode]
    ERROR_CODE_INTERNAL: _ClassVar[ErrorCode]
    ERROR_CODE_UNAVAILABLE: _ClassVar[ErrorCode]
    ERROR_CODE_DATA_LOSS: _ClassVar[ErrorCode]
    ERROR_CODE_UNAUTHENTICATED: _ClassVar[ErrorCode]

class Move(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOVE_UNSPECIFIED: _ClassVar[Move]
    MOVE_EXPLORE: _ClassVar[Move]
    MOVE_SPHERICAL: _ClassVar[Move]
    MOVE_SEED_OFFSET: _ClassVar[Move]
    MOVE_CROSSOVER: _ClassVar[Move]
    MOVE_START: _ClassVar[Move]
    MOVE_RESTART: _ClassVar[Move]

class RoundKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_KIND_UNSPECIFIED: _ClassVar[RoundKind]
    ROUND_KIND_EXPLORE: _ClassVar[RoundKind]
    ROUND_KIND_LOCAL: _ClassVar[RoundKind]

class StopReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_REASON_UNSPECIFIED: _ClassVar[StopReason]
    STOP_REASON_COMPLETED: _ClassVar[StopReason]
    STOP_REASON_NFE: _ClassVar[StopReason]
    STOP_REASON_PICTURES: _ClassVar[StopReason]
    STOP_REASON_VLM_CALLS: _ClassVar[StopReason]
    STOP_REASON_WALL_TIME: _ClassVar[StopReason]
    STOP_REASON_TARGET_REACHED: _ClassVar[StopReason]
    STOP_REASON_LOW_DIVERSITY: _ClassVar[StopReason]
    STOP_REASON_LITTLE_GAIN: _ClassVar[StopReason]
PRIOR_MODE_UNSPECIFIED: PriorMode
PRIOR_MODE_SWAP: PriorMode
PRIOR_MODE_NONE: PriorMode
PRIOR_MODE_GIVEN: PriorMode
FRAMING_UNSPECIFIED: Framing
FRAMING_AUTO: Framing
FRAMING_WHOLE: Framing
FRAMING_FACE: Framing
SEARCH_STATE_UNSPECIFIED: SearchState
SEARCH_STATE_QUEUED: SearchState
SEARCH_STATE_RUNNING: SearchState
SEARCH_STATE_SUCCEEDED: SearchState
SEARCH_STATE_FAILED: SearchState
SEARCH_STATE_CANCELLED: SearchState
SCALARIZATION_UNSPECIFIED: Scalarization
SCALARIZATION_WEIGHTED_SUM: Scalarization
SCALARIZATION_GEOMETRIC_MEAN: Scalarization
SCALARIZATION_RANK_SUM: Scalarization
MISSING_SCORES_UNSPECIFIED: MissingScores
MISSING_SCORES_LOWER_BOUND: MissingScores
MISSING_SCORES_DROP: MissingScores
LOW_DIVERSITY_UNSPECIFIED: LowDiversity
LOW_DIVERSITY_REPORT: LowDiversity
LOW_DIVERSITY_WIDEN: LowDiversity
LOW_DIVERSITY_STOP: LowDiversity
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_CANCELLED: ErrorCode
ERROR_CODE_UNKNOWN: ErrorCode
ERROR_CODE_INVALID_ARGUMENT: ErrorCode
ERROR_CODE_DEADLINE_EXCEEDED: ErrorCode
ERROR_CODE_NOT_FOUND: ErrorCode
ERROR_CODE_ALREADY_EXISTS: ErrorCode
ERROR_CODE_PERMISSION_DENIED: ErrorCode
ERROR_CODE_RESOURCE_EXHAUSTED: ErrorCode
ERROR_CODE_FAILED_PRECONDITION: ErrorCode
ERROR_CODE_ABORTED: ErrorCode
ERROR_CODE_OUT_OF_RANGE: ErrorCode
ERROR_CODE_UNIMPLEMENTED: ErrorCode
ERROR_CODE_INTERNAL: ErrorCode
ERROR_CODE_UNAVAILABLE: ErrorCode
ERROR_CODE_DATA_LOSS: ErrorCode
ERROR_CODE_UNAUTHENTICATED: ErrorCode
MOVE_UNSPECIFIED: Move
MOVE_EXPLORE: Move
MOVE_SPHERICAL: Move
MOVE_SEED_OFFSET: Move
MOVE_CROSSOVER: Move
MOVE_START: Move
MOVE_RESTART: Move
ROUND_KIND_UNSPECIFIED: RoundKind
ROUND_KIND_EXPLORE: RoundKind
ROUND_KIND_LOCAL: RoundKind
STOP_REASON_UNSPECIFIED: StopReason
STOP_REASON_COMPLETED: StopReason
STOP_REASON_NFE: StopReason
STOP_REASON_PICTURES: StopReason
STOP_REASON_VLM_CALLS: StopReason
STOP_REASON_WALL_TIME: StopReason
STOP_REASON_TARGET_REACHED: StopReason
STOP_REASON_LOW_DIVERSITY: StopReason
STOP_REASON_LITTLE_GAIN: StopReason

class Image(_message.Message):
    __slots__ = ("data", "artifact")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    artifact: str
    def __init__(self, data: _Optional[bytes] = ..., artifact: _Optional[str] = ...) -> None: ...

class FaceSelector(_message.Message):
    __slots__ = ("index", "box", "likeness")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    LIKENESS_FIELD_NUMBER: _ClassVar[int]
    index: int
    box: Box
    likeness: Image
    def __init__(self, index: _Optional[int] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., likeness: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class PriorSettings(_message.Message):
    __slots__ = ("swap", "none", "given")
    SWAP_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    swap: FaceSwap
    none: NoPrior
    given: Image
    def __init__(self, swap: _Optional[_Union[FaceSwap, _Mapping]] = ..., none: _Optional[_Union[NoPrior, _Mapping]] = ..., given: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class FaceSwap(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NoPrior(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunSearchRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "negative_prompt", "sampler", "search", "scorers", "scene_face", "character_face", "more_characters", "references", "framing", "prior", "budget", "scalarization", "missing_scores", "request_id", "labels", "priority", "detach")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SCALARIZATION_FIELD_NUMBER: _ClassVar[int]
    MISSING_SCORES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    negative_prompt: str
    sampler: SamplerSettings
    search: SearchSettings
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    scene_face: FaceSelector
    character_face: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    references: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    prior: PriorSettings
    budget: Budget
    scalarization: Scalarization
    missing_scores: MissingScores
    request_id: str
    labels: _containers.ScalarMap[str, str]
    priority: int
    detach: bool
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., sampler: _Optional[_Union[SamplerSettings, _Mapping]] = ..., search: _Optional[_Union[SearchSettings, _Mapping]] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., scene_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., references: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ..., prior: _Optional[_Union[PriorSettings, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., scalarization: _Optional[_Union[Scalarization, str]] = ..., missing_scores: _Optional[_Union[MissingScores, str]] = ..., request_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., detach: _Optional[bool] = ...) -> None: ...

class CreateSearchRequest(_message.Message):
    __slots__ = ("search", "validate_only")
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    search: RunSearchRequest
    validate_only: bool
    def __init__(self, search: _Optional[_Union[RunSearchRequest, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class CreateSearchResponse(_message.Message):
    __slots__ = ("search",)
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    search: Search
    def __init__(self, search: _Optional[_Union[Search, _Mapping]] = ...) -> None: ...

class GetSearchRequest(_message.Message):
    __slots__ = ("search_id",)
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    def __init__(self, search_id: _Optional[str] = ...) -> None: ...

class GetSearchResponse(_message.Message):
    __slots__ = ("search",)
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    search: Search
    def __init__(self, search: _Optional[_Union[Search, _Mapping]] = ...) -> None: ...

class ListSearchesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[SearchState]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[SearchState, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListSearchesResponse(_message.Message):
    __slots__ = ("searches", "next_page_token")
    SEARCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    searches: _containers.RepeatedCompositeFieldContainer[Search]
    next_page_token: str
    def __init__(self, searches: _Optional[_Iterable[_Union[Search, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchSearchRequest(_message.Message):
    __slots__ = ("search_id", "after_sequence", "inline_pictures")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INLINE_PICTURES_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    after_sequence: int
    inline_pictures: bool
    def __init__(self, search_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., inline_pictures: _Optional[bool] = ...) -> None: ...

class WatchSearchResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: SearchEvent
    def __init__(self, event: _Optional[_Union[SearchEvent, _Mapping]] = ...) -> None: ...

class CancelSearchRequest(_message.Message):
    __slots__ = ("search_id",)
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    def __init__(self, search_id: _Optional[str] = ...) -> None: ...

class CancelSearchResponse(_message.Message):
    __slots__ = ("search",)
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    search: Search
    def __init__(self, search: _Optional[_Union[Search, _Mapping]] = ...) -> None: ...

class DeleteSearchRequest(_message.Message):
    __slots__ = ("search_id", "allow_missing")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    allow_missing: bool
    def __init__(self, search_id: _Optional[str] = ..., allow_missing: _Optional[bool] = ...) -> None: ...

class DeleteSearchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadImageRequest(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class UploadImageResponse(_message.Message):
    __slots__ = ("image", "size_bytes", "expire_time", "notes")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    image: Image
    size_bytes: int
    expire_time: _timestamp_pb2.Timestamp
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., size_bytes: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class DownloadArtifactRequest(_message.Message):
    __slots__ = ("artifact",)
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    artifact: str
    def __init__(self, artifact: _Optional[str] = ...) -> None: ...

class DownloadArtifactResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class Search(_message.Message):
    __slots__ = ("search_id", "state", "request_id", "labels", "priority", "create_time", "start_time", "finish_time", "expire_time", "last_sequence", "result", "failure", "request", "waiting_reason", "queue_position", "prompt", "best_potential")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    FINISH_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    BEST_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    state: SearchState
    request_id: str
    labels: _containers.ScalarMap[str, str]
    priority: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    finish_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    last_sequence: int
    result: SearchFinished
    failure: SearchFailed
    request: RunSearchRequest
    waiting_reason: str
    queue_position: int
    prompt: str
    best_potential: float
    def __init__(self, search_id: _Optional[str] = ..., state: _Optional[_Union[SearchState, str]] = ..., request_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sequence: _Optional[int] = ..., result: _Optional[_Union[SearchFinished, _Mapping]] = ..., failure: _Optional[_Union[SearchFailed, _Mapping]] = ..., request: _Optional[_Union[RunSearchRequest, _Mapping]] = ..., waiting_reason: _Optional[str] = ..., queue_position: _Optional[int] = ..., prompt: _Optional[str] = ..., best_potential: _Optional[float] = ...) -> None: ...

class DetectFacesRequest(_message.Message):
    __slots__ = ("picture",)
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    picture: Image
    def __init__(self, picture: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class DetectFacesResponse(_message.Message):
    __slots__ = ("faces", "width", "height")
    FACES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    width: int
    height: int
    def __init__(self, faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("box", "detection_score")
    BOX_FIELD_NUMBER: _ClassVar[int]
    DETECTION_SCORE_FIELD_NUMBER: _ClassVar[int]
    box: Box
    detection_score: float
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., detection_score: _Optional[float] = ...) -> None: ...

class PreparePriorRequest(_message.Message):
    __slots__ = ("scene", "character", "scene_face", "character_face", "more_characters", "framing", "prior")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    scene_face: FaceSelector
    character_face: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    prior: PriorSettings
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., scene_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ..., prior: _Optional[_Union[PriorSettings, _Mapping]] = ...) -> None: ...

class PreparePriorResponse(_message.Message):
    __slots__ = ("prior", "scene", "scene_face", "character_face", "versions", "scene_faces", "character_faces", "frame", "delivered", "mode", "notes")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACES_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACES_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    prior: Image
    scene: Image
    scene_face: Box
    character_face: Box
    versions: _containers.ScalarMap[str, str]
    scene_faces: _containers.RepeatedCompositeFieldContainer[Box]
    character_faces: _containers.RepeatedCompositeFieldContainer[Box]
    frame: Box
    delivered: Image
    mode: PriorMode
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prior: _Optional[_Union[Image, _Mapping]] = ..., scene: _Optional[_Union[Image, _Mapping]] = ..., scene_face: _Optional[_Union[Box, _Mapping]] = ..., character_face: _Optional[_Union[Box, _Mapping]] = ..., versions: _Optional[_Mapping[str, str]] = ..., scene_faces: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., character_faces: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., frame: _Optional[_Union[Box, _Mapping]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ..., mode: _Optional[_Union[PriorMode, str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class RenderCandidateRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "negative_prompt", "sampler", "scene_face", "character_face", "more_characters", "references", "framing", "prior", "recipe")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    negative_prompt: str
    sampler: SamplerSettings
    scene_face: FaceSelector
    character_face: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    references: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    prior: PriorSettings
    recipe: Recipe
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., sampler: _Optional[_Union[SamplerSettings, _Mapping]] = ..., scene_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., references: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ..., prior: _Optional[_Union[PriorSettings, _Mapping]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ...) -> None: ...

class RenderCandidateResponse(_message.Message):
    __slots__ = ("picture", "picture_sha256", "steps", "versions", "delivered", "notes")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_SHA256_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    picture: Image
    picture_sha256: str
    steps: int
    versions: _containers.ScalarMap[str, str]
    delivered: Image
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, picture: _Optional[_Union[Image, _Mapping]] = ..., picture_sha256: _Optional[str] = ..., steps: _Optional[int] = ..., versions: _Optional[_Mapping[str, str]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class PickCandidateRequest(_message.Message):
    __slots__ = ("search_id", "candidate_id", "layers")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    candidate_id: str
    layers: bool
    def __init__(self, search_id: _Optional[str] = ..., candidate_id: _Optional[str] = ..., layers: _Optional[bool] = ...) -> None: ...

class Layers(_message.Message):
    __slots__ = ("plate", "patch", "matte")
    PLATE_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    MATTE_FIELD_NUMBER: _ClassVar[int]
    plate: Image
    patch: Image
    matte: Image
    def __init__(self, plate: _Optional[_Union[Image, _Mapping]] = ..., patch: _Optional[_Union[Image, _Mapping]] = ..., matte: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class PickCandidateResponse(_message.Message):
    __slots__ = ("delivered", "picture", "layers")
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    delivered: Image
    picture: Image
    layers: Layers
    def __init__(self, delivered: _Optional[_Union[Image, _Mapping]] = ..., picture: _Optional[_Union[Image, _Mapping]] = ..., layers: _Optional[_Union[Layers, _Mapping]] = ...) -> None: ...

class RankCandidatesRequest(_message.Message):
    __slots__ = ("search_id", "scorers", "scalarization", "missing_scores", "page_size", "page_token")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    SCALARIZATION_FIELD_NUMBER: _ClassVar[int]
    MISSING_SCORES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    scalarization: Scalarization
    missing_scores: MissingScores
    page_size: int
    page_token: str
    def __init__(self, search_id: _Optional[str] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., scalarization: _Optional[_Union[Scalarization, str]] = ..., missing_scores: _Optional[_Union[MissingScores, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class RankCandidatesResponse(_message.Message):
    __slots__ = ("candidates", "pareto_front", "scorers", "next_page_token")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARETO_FRONT_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[RankedCandidate]
    pareto_front: _containers.RepeatedScalarFieldContainer[str]
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    next_page_token: str
    def __init__(self, candidates: _Optional[_Iterable[_Union[RankedCandidate, _Mapping]]] = ..., pareto_front: _Optional[_Iterable[str]] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RankedCandidate(_message.Message):
    __slots__ = ("candidate_id", "evaluation", "picture")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    evaluation: Evaluation
    picture: Image
    def __init__(self, candidate_id: _Optional[str] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., picture: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class ScoreImagesRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "scene_face", "character_face", "more_characters", "images", "scorers", "scalarization", "framing", "prior")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    SCALARIZATION_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    scene_face: FaceSelector
    character_face: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    scalarization: Scalarization
    framing: Framing
    prior: PriorSettings
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., scene_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., scalarization: _Optional[_Union[Scalarization, str]] = ..., framing: _Optional[_Union[Framing, str]] = ..., prior: _Optional[_Union[PriorSettings, _Mapping]] = ...) -> None: ...

class ScoreImagesResponse(_message.Message):
    __slots__ = ("evaluations", "versions")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[Evaluation]
    versions: _containers.ScalarMap[str, str]
    def __init__(self, evaluations: _Optional[_Iterable[_Union[Evaluation, _Mapping]]] = ..., versions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("denoiser_evaluations", "pictures", "vlm_calls", "wall_time", "target_potential", "min_gain_per_trajectory")
    DENOISER_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    VLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    TARGET_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    MIN_GAIN_PER_TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    denoiser_evaluations: int
    pictures: int
    vlm_calls: int
    wall_time: _duration_pb2.Duration
    target_potential: float
    min_gain_per_trajectory: float
    def __init__(self, denoiser_evaluations: _Optional[int] = ..., pictures: _Optional[int] = ..., vlm_calls: _Optional[int] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., target_potential: _Optional[float] = ..., min_gain_per_trajectory: _Optional[float] = ...) -> None: ...

class SamplerSettings(_message.Message):
    __slots__ = ("steps", "true_cfg_scale", "character_as_reference")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TRUE_CFG_SCALE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_AS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    true_cfg_scale: float
    character_as_reference: bool
    def __init__(self, steps: _Optional[int] = ..., true_cfg_scale: _Optional[float] = ..., character_as_reference: _Optional[bool] = ...) -> None: ...

class SearchSettings(_message.Message):
    __slots__ = ("eacps_adaptive", "eacps", "best_of_n", "random_seed", "first_seed", "micro_batch", "low_diversity", "score_repeats", "start", "avoided_seeds")
    EACPS_ADAPTIVE_FIELD_NUMBER: _ClassVar[int]
    EACPS_FIELD_NUMBER: _ClassVar[int]
    BEST_OF_N_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEED_FIELD_NUMBER: _ClassVar[int]
    MICRO_BATCH_FIELD_NUMBER: _ClassVar[int]
    LOW_DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_REPEATS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_SEEDS_FIELD_NUMBER: _ClassVar[int]
    eacps_adaptive: EacpsAdaptiveSettings
    eacps: EacpsSettings
    best_of_n: BestOfNSettings
    random_seed: int
    first_seed: int
    micro_batch: int
    low_diversity: LowDiversity
    score_repeats: int
    start: _containers.RepeatedCompositeFieldContainer[StartPoint]
    avoided_seeds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, eacps_adaptive: _Optional[_Union[EacpsAdaptiveSettings, _Mapping]] = ..., eacps: _Optional[_Union[EacpsSettings, _Mapping]] = ..., best_of_n: _Optional[_Union[BestOfNSettings, _Mapping]] = ..., random_seed: _Optional[int] = ..., first_seed: _Optional[int] = ..., micro_batch: _Optional[int] = ..., low_diversity: _Optional[_Union[LowDiversity, str]] = ..., score_repeats: _Optional[int] = ..., start: _Optional[_Iterable[_Union[StartPoint, _Mapping]]] = ..., avoided_seeds: _Optional[_Iterable[int]] = ...) -> None: ...

class StartPoint(_message.Message):
    __slots__ = ("recipe", "candidate", "known")
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    recipe: Recipe
    candidate: CandidateReference
    known: KnownPoint
    def __init__(self, recipe: _Optional[_Union[Recipe, _Mapping]] = ..., candidate: _Optional[_Union[CandidateReference, _Mapping]] = ..., known: _Optional[_Union[KnownPoint, _Mapping]] = ...) -> None: ...

class CandidateReference(_message.Message):
    __slots__ = ("search_id", "candidate_id")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    candidate_id: str
    def __init__(self, search_id: _Optional[str] = ..., candidate_id: _Optional[str] = ...) -> None: ...

class KnownPoint(_message.Message):
    __slots__ = ("recipe", "scores", "build", "others")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    recipe: Recipe
    scores: _containers.ScalarMap[str, float]
    build: str
    others: _containers.RepeatedCompositeFieldContainer[KnownPoint]
    def __init__(self, recipe: _Optional[_Union[Recipe, _Mapping]] = ..., scores: _Optional[_Mapping[str, float]] = ..., build: _Optional[str] = ..., others: _Optional[_Iterable[_Union[KnownPoint, _Mapping]]] = ...) -> None: ...

class EacpsAdaptiveSettings(_message.Message):
    __slots__ = ("trajectories", "rounds", "fresh_share", "crossover", "restarts")
    TRAJECTORIES_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    FRESH_SHARE_FIELD_NUMBER: _ClassVar[int]
    CROSSOVER_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    trajectories: int
    rounds: int
    fresh_share: float
    crossover: bool
    restarts: bool
    def __init__(self, trajectories: _Optional[int] = ..., rounds: _Optional[int] = ..., fresh_share: _Optional[float] = ..., crossover: _Optional[bool] = ..., restarts: _Optional[bool] = ...) -> None: ...

class EacpsSettings(_message.Message):
    __slots__ = ("global_candidates", "parents", "children_per_parent", "local_rounds", "spherical", "seed_offset")
    GLOBAL_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_PER_PARENT_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    SPHERICAL_FIELD_NUMBER: _ClassVar[int]
    SEED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    global_candidates: int
    parents: int
    children_per_parent: int
    local_rounds: int
    spherical: SphericalMove
    seed_offset: SeedOffsetMove
    def __init__(self, global_candidates: _Optional[int] = ..., parents: _Optional[int] = ..., children_per_parent: _Optional[int] = ..., local_rounds: _Optional[int] = ..., spherical: _Optional[_Union[SphericalMove, _Mapping]] = ..., seed_offset: _Optional[_Union[SeedOffsetMove, _Mapping]] = ...) -> None: ...

class SphericalMove(_message.Message):
    __slots__ = ("angle", "angle_decay")
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    ANGLE_DECAY_FIELD_NUMBER: _ClassVar[int]
    angle: float
    angle_decay: float
    def __init__(self, angle: _Optional[float] = ..., angle_decay: _Optional[float] = ...) -> None: ...

class SeedOffsetMove(_message.Message):
    __slots__ = ("radius",)
    RADIUS_FIELD_NUMBER: _ClassVar[int]
    radius: int
    def __init__(self, radius: _Optional[int] = ...) -> None: ...

class BestOfNSettings(_message.Message):
    __slots__ = ("trajectories",)
    TRAJECTORIES_FIELD_NUMBER: _ClassVar[int]
    trajectories: int
    def __init__(self, trajectories: _Optional[int] = ...) -> None: ...

class ScorerSettings(_message.Message):
    __slots__ = ("name", "weight", "floor", "held_out", "question")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    floor: float
    held_out: bool
    question: str
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., floor: _Optional[float] = ..., held_out: _Optional[bool] = ..., question: _Optional[str] = ...) -> None: ...

class RunSearchResponse(_message.Message):
    __slots__ = ("event", "search")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    event: SearchEvent
    search: Search
    def __init__(self, event: _Optional[_Union[SearchEvent, _Mapping]] = ..., search: _Optional[_Union[Search, _Mapping]] = ...) -> None: ...

class SearchEvent(_message.Message):
    __slots__ = ("sequence", "started", "prior_ready", "candidate_scored", "round_finished", "finished", "failed", "cancelled")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    PRIOR_READY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_SCORED_FIELD_NUMBER: _ClassVar[int]
    ROUND_FINISHED_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    started: SearchStarted
    prior_ready: PriorReady
    candidate_scored: CandidateScored
    round_finished: RoundFinished
    finished: SearchFinished
    failed: SearchFailed
    cancelled: SearchCancelled
    def __init__(self, sequence: _Optional[int] = ..., started: _Optional[_Union[SearchStarted, _Mapping]] = ..., prior_ready: _Optional[_Union[PriorReady, _Mapping]] = ..., candidate_scored: _Optional[_Union[CandidateScored, _Mapping]] = ..., round_finished: _Optional[_Union[RoundFinished, _Mapping]] = ..., finished: _Optional[_Union[SearchFinished, _Mapping]] = ..., failed: _Optional[_Union[SearchFailed, _Mapping]] = ..., cancelled: _Optional[_Union[SearchCancelled, _Mapping]] = ...) -> None: ...

class SearchFailed(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    reason: str
    message: str
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SearchCancelled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SearchStarted(_message.Message):
    __slots__ = ("search_id", "planned_candidates", "random_seed", "checkpoint", "steps", "scorers", "notes")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    PLANNED_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    planned_candidates: int
    random_seed: int
    checkpoint: str
    steps: int
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, search_id: _Optional[str] = ..., planned_candidates: _Optional[int] = ..., random_seed: _Optional[int] = ..., checkpoint: _Optional[str] = ..., steps: _Optional[int] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class PriorReady(_message.Message):
    __slots__ = ("prior", "scene", "evaluation", "scene_face", "character_face", "frame", "mode")
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    prior: Image
    scene: Image
    evaluation: Evaluation
    scene_face: Box
    character_face: Box
    frame: Box
    mode: PriorMode
    def __init__(self, prior: _Optional[_Union[Image, _Mapping]] = ..., scene: _Optional[_Union[Image, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scene_face: _Optional[_Union[Box, _Mapping]] = ..., character_face: _Optional[_Union[Box, _Mapping]] = ..., frame: _Optional[_Union[Box, _Mapping]] = ..., mode: _Optional[_Union[PriorMode, str]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left", "top", "right", "bottom")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    left: float
    top: float
    right: float
    bottom: float
    def __init__(self, left: _Optional[float] = ..., top: _Optional[float] = ..., right: _Optional[float] = ..., bottom: _Optional[float] = ...) -> None: ...

class RecipeTerm(_message.Message):
    __slots__ = ("seed", "coefficient")
    SEED_FIELD_NUMBER: _ClassVar[int]
    COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    seed: int
    coefficient: float
    def __init__(self, seed: _Optional[int] = ..., coefficient: _Optional[float] = ...) -> None: ...

class RecipeRestart(_message.Message):
    __slots__ = ("step", "seed")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    step: int
    seed: int
    def __init__(self, step: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class Recipe(_message.Message):
    __slots__ = ("terms", "restarts")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[RecipeTerm]
    restarts: _containers.RepeatedCompositeFieldContainer[RecipeRestart]
    def __init__(self, terms: _Optional[_Iterable[_Union[RecipeTerm, _Mapping]]] = ..., restarts: _Optional[_Iterable[_Union[RecipeRestart, _Mapping]]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("scorer", "value", "failure", "raw", "asked", "saturated")
    SCORER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    SATURATED_FIELD_NUMBER: _ClassVar[int]
    scorer: str
    value: float
    failure: str
    raw: float
    asked: int
    saturated: bool
    def __init__(self, scorer: _Optional[str] = ..., value: _Optional[float] = ..., failure: _Optional[str] = ..., raw: _Optional[float] = ..., asked: _Optional[int] = ..., saturated: _Optional[bool] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("scores", "potential", "complete", "shortfall")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    potential: float
    complete: bool
    shortfall: float
    def __init__(self, scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., potential: _Optional[float] = ..., complete: _Optional[bool] = ..., shortfall: _Optional[float] = ...) -> None: ...

class CandidateScored(_message.Message):
    __slots__ = ("candidate_id", "generation", "move", "parents", "recipe", "evaluation", "thumbnail", "done", "best_potential", "picture_sha256", "failure", "steps", "picture")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    BEST_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    PICTURE_SHA256_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    generation: int
    move: Move
    parents: _containers.RepeatedScalarFieldContainer[str]
    recipe: Recipe
    evaluation: Evaluation
    thumbnail: Image
    done: int
    best_potential: float
    picture_sha256: str
    failure: str
    steps: int
    picture: Image
    def __init__(self, candidate_id: _Optional[str] = ..., generation: _Optional[int] = ..., move: _Optional[_Union[Move, str]] = ..., parents: _Optional[_Iterable[str]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., thumbnail: _Optional[_Union[Image, _Mapping]] = ..., done: _Optional[int] = ..., best_potential: _Optional[float] = ..., picture_sha256: _Optional[str] = ..., failure: _Optional[str] = ..., steps: _Optional[int] = ..., picture: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class RoundFinished(_message.Message):
    __slots__ = ("generation", "best_candidate_id", "best_potential", "mean_potential", "kind", "fresh", "crossovers", "angle", "predicted_gain", "curvature")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEST_CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    BEST_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    MEAN_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    CROSSOVERS_FIELD_NUMBER: _ClassVar[int]
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_GAIN_FIELD_NUMBER: _ClassVar[int]
    CURVATURE_FIELD_NUMBER: _ClassVar[int]
    generation: int
    best_candidate_id: str
    best_potential: float
    mean_potential: float
    kind: RoundKind
    fresh: int
    crossovers: int
    angle: float
    predicted_gain: float
    curvature: float
    def __init__(self, generation: _Optional[int] = ..., best_candidate_id: _Optional[str] = ..., best_potential: _Optional[float] = ..., mean_potential: _Optional[float] = ..., kind: _Optional[_Union[RoundKind, str]] = ..., fresh: _Optional[int] = ..., crossovers: _Optional[int] = ..., angle: _Optional[float] = ..., predicted_gain: _Optional[float] = ..., curvature: _Optional[float] = ...) -> None: ...

class Spent(_message.Message):
    __slots__ = ("denoiser_evaluations", "pictures", "vlm_calls", "wall_time")
    DENOISER_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    VLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    denoiser_evaluations: int
    pictures: int
    vlm_calls: int
    wall_time: _duration_pb2.Duration
    def __init__(self, denoiser_evaluations: _Optional[int] = ..., pictures: _Optional[int] = ..., vlm_calls: _Optional[int] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ScorerGain(_message.Message):
    __slots__ = ("scorer", "held_out", "over_first", "over_prior")
    SCORER_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    OVER_FIRST_FIELD_NUMBER: _ClassVar[int]
    OVER_PRIOR_FIELD_NUMBER: _ClassVar[int]
    scorer: str
    held_out: bool
    over_first: float
    over_prior: float
    def __init__(self, scorer: _Optional[str] = ..., held_out: _Optional[bool] = ..., over_first: _Optional[float] = ..., over_prior: _Optional[float] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("spread", "expected", "p_value", "low")
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    spread: float
    expected: float
    p_value: float
    low: bool
    def __init__(self, spread: _Optional[float] = ..., expected: _Optional[float] = ..., p_value: _Optional[float] = ..., low: _Optional[bool] = ...) -> None: ...

class SearchFinished(_message.Message):
    __slots__ = ("best_candidate_id", "best", "recipe", "evaluation", "lineage", "statistics", "timings", "versions", "noise_shape", "stop_reason", "spent", "pareto_front", "gains", "diversity", "delivered")
    class TimingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _duration_pb2.Duration
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    BEST_CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NOISE_SHAPE_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    PARETO_FRONT_FIELD_NUMBER: _ClassVar[int]
    GAINS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    best_candidate_id: str
    best: Image
    recipe: Recipe
    evaluation: Evaluation
    lineage: _containers.RepeatedScalarFieldContainer[str]
    statistics: Statistics
    timings: _containers.MessageMap[str, _duration_pb2.Duration]
    versions: _containers.ScalarMap[str, str]
    noise_shape: _containers.RepeatedScalarFieldContainer[int]
    stop_reason: StopReason
    spent: Spent
    pareto_front: _containers.RepeatedScalarFieldContainer[str]
    gains: _containers.RepeatedCompositeFieldContainer[ScorerGain]
    diversity: Diversity
    delivered: Image
    def __init__(self, best_candidate_id: _Optional[str] = ..., best: _Optional[_Union[Image, _Mapping]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., lineage: _Optional[_Iterable[str]] = ..., statistics: _Optional[_Union[Statistics, _Mapping]] = ..., timings: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., versions: _Optional[_Mapping[str, str]] = ..., noise_shape: _Optional[_Iterable[int]] = ..., stop_reason: _Optional[_Union[StopReason, str]] = ..., spent: _Optional[_Union[Spent, _Mapping]] = ..., pareto_front: _Optional[_Iterable[str]] = ..., gains: _Optional[_Iterable[_Union[ScorerGain, _Mapping]]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class Statistics(_message.Message):
    __slots__ = ("candidates", "failed", "missing_scores", "first_potential", "prior_potential", "mean_potential", "sd_potential", "expected_best", "denoiser_evaluations", "best_potential", "gain_over_first", "gain_over_prior", "incomplete")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    MISSING_SCORES_FIELD_NUMBER: _ClassVar[int]
    FIRST_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    PRIOR_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    MEAN_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    SD_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BEST_FIELD_NUMBER: _ClassVar[int]
    DENOISER_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    BEST_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    GAIN_OVER_FIRST_FIELD_NUMBER: _ClassVar[int]
    GAIN_OVER_PRIOR_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    candidates: int
    failed: int
    missing_scores: int
    first_potential: float
    prior_potential: float
    mean_potential: float
    sd_potential: float
    expected_best: _containers.RepeatedCompositeFieldContainer[ExpectedBest]
    denoiser_evaluations: int
    best_potential: float
    gain_over_first: float
    gain_over_prior: float
    incomplete: int
    def __init__(self, candidates: _Optional[int] = ..., failed: _Optional[int] = ..., missing_scores: _Optional[int] = ..., first_potential: _Optional[float] = ..., prior_potential: _Optional[float] = ..., mean_potential: _Optional[float] = ..., sd_potential: _Optional[float] = ..., expected_best: _Optional[_Iterable[_Union[ExpectedBest, _Mapping]]] = ..., denoiser_evaluations: _Optional[int] = ..., best_potential: _Optional[float] = ..., gain_over_first: _Optional[float] = ..., gain_over_prior: _Optional[float] = ..., incomplete: _Optional[int] = ...) -> None: ...

class ExpectedBest(_message.Message):
    __slots__ = ("n", "potential")
    N_FIELD_NUMBER: _ClassVar[int]
    POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    n: int
    potential: float
    def __init__(self, n: _Optional[int] = ..., potential: _Optional[float] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCapabilitiesResponse(_message.Message):
    __slots__ = ("checkpoint", "scorers", "judges", "ranges", "limits", "strategies")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    JUDGES_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: CheckpointInfo
    scorers: _containers.RepeatedCompositeFieldContainer[OfferedScorer]
    judges: _containers.RepeatedScalarFieldContainer[str]
    ranges: _containers.RepeatedCompositeFieldContainer[FieldRange]
    limits: RequestLimits
    strategies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, checkpoint: _Optional[_Union[CheckpointInfo, _Mapping]] = ..., scorers: _Optional[_Iterable[_Union[OfferedScorer, _Mapping]]] = ..., judges: _Optional[_Iterable[str]] = ..., ranges: _Optional[_Iterable[_Union[FieldRange, _Mapping]]] = ..., limits: _Optional[_Union[RequestLimits, _Mapping]] = ..., strategies: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckpointInfo(_message.Message):
    __slots__ = ("name", "build", "default_steps", "sizes", "max_pictures", "face_swap", "negative_prompts", "own_judge")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_STEPS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    MAX_PICTURES_FIELD_NUMBER: _ClassVar[int]
    FACE_SWAP_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPTS_FIELD_NUMBER: _ClassVar[int]
    OWN_JUDGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    build: str
    default_steps: int
    sizes: _containers.RepeatedCompositeFieldContainer[PictureSize]
    max_pictures: int
    face_swap: bool
    negative_prompts: bool
    own_judge: bool
    def __init__(self, name: _Optional[str] = ..., build: _Optional[str] = ..., default_steps: _Optional[int] = ..., sizes: _Optional[_Iterable[_Union[PictureSize, _Mapping]]] = ..., max_pictures: _Optional[int] = ..., face_swap: _Optional[bool] = ..., negative_prompts: _Optional[bool] = ..., own_judge: _Optional[bool] = ...) -> None: ...

class PictureSize(_message.Message):
    __slots__ = ("width", "height")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class OfferedScorer(_message.Message):
    __slots__ = ("name", "default_weight", "reported_by_default")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REPORTED_BY_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    name: str
    default_weight: float
    reported_by_default: bool
    def __init__(self, name: _Optional[str] = ..., default_weight: _Optional[float] = ..., reported_by_default: _Optional[bool] = ...) -> None: ...

class FieldRange(_message.Message):
    __slots__ = ("field", "least", "most", "default_value", "above_least")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    ABOVE_LEAST_FIELD_NUMBER: _ClassVar[int]
    field: str
    least: float
    most: float
    default_value: float
    above_least: bool
    def __init__(self, field: _Optional[str] = ..., least: _Optional[float] = ..., most: _Optional[float] = ..., default_value: _Optional[float] = ..., above_least: _Optional[bool] = ...) -> None: ...

class RequestLimits(_message.Message):
    __slots__ = ("prompt_characters", "question_characters", "scorers", "more_characters", "start_points", "labels", "label_key_characters", "label_value_characters", "upload_bytes")
    PROMPT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    QUESTION_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    START_POINTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEY_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    LABEL_VALUE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    prompt_characters: int
    question_characters: int
    scorers: int
    more_characters: int
    start_points: int
    labels: int
    label_key_characters: int
    label_value_characters: int
    upload_bytes: int
    def __init__(self, prompt_characters: _Optional[int] = ..., question_characters: _Optional[int] = ..., scorers: _Optional[int] = ..., more_characters: _Optional[int] = ..., start_points: _Optional[int] = ..., labels: _Optional[int] = ..., label_key_characters: _Optional[int] = ..., label_value_characters: _Optional[int] = ..., upload_bytes: _Optional[int] = ...) -> None: ...
