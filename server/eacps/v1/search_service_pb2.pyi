import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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

class Scalarisation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCALARISATION_UNSPECIFIED: _ClassVar[Scalarisation]
    SCALARISATION_WEIGHTED_SUM: _ClassVar[Scalarisation]
    SCALARISATION_GEOMETRIC_MEAN: _ClassVar[Scalarisation]
    SCALARISATION_RANK_SUM: _ClassVar[Scalarisation]

class MissingScores(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSING_SCORES_UNSPECIFIED: _ClassVar[MissingScores]
    MISSING_SCORES_LOWER_BOUND: _ClassVar[MissingScores]
    MISSING_SCORES_DROP: _ClassVar[MissingScores]

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_EACPS: _ClassVar[Strategy]
    STRATEGY_BEST_OF_N: _ClassVar[Strategy]
    STRATEGY_EACPS_ADAPTIVE: _ClassVar[Strategy]

class PruningMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRUNING_MODE_UNSPECIFIED: _ClassVar[PruningMode]
    PRUNING_MODE_AUTO: _ClassVar[PruningMode]
    PRUNING_MODE_OFF: _ClassVar[PruningMode]
    PRUNING_MODE_FIXED: _ClassVar[PruningMode]

class LowDiversity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOW_DIVERSITY_UNSPECIFIED: _ClassVar[LowDiversity]
    LOW_DIVERSITY_REPORT: _ClassVar[LowDiversity]
    LOW_DIVERSITY_WIDEN: _ClassVar[LowDiversity]
    LOW_DIVERSITY_STOP: _ClassVar[LowDiversity]

class LocalMove(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCAL_MOVE_UNSPECIFIED: _ClassVar[LocalMove]
    LOCAL_MOVE_SPHERICAL: _ClassVar[LocalMove]
    LOCAL_MOVE_SEED_OFFSET: _ClassVar[LocalMove]

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
SCALARISATION_UNSPECIFIED: Scalarisation
SCALARISATION_WEIGHTED_SUM: Scalarisation
SCALARISATION_GEOMETRIC_MEAN: Scalarisation
SCALARISATION_RANK_SUM: Scalarisation
MISSING_SCORES_UNSPECIFIED: MissingScores
MISSING_SCORES_LOWER_BOUND: MissingScores
MISSING_SCORES_DROP: MissingScores
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_EACPS: Strategy
STRATEGY_BEST_OF_N: Strategy
STRATEGY_EACPS_ADAPTIVE: Strategy
PRUNING_MODE_UNSPECIFIED: PruningMode
PRUNING_MODE_AUTO: PruningMode
PRUNING_MODE_OFF: PruningMode
PRUNING_MODE_FIXED: PruningMode
LOW_DIVERSITY_UNSPECIFIED: LowDiversity
LOW_DIVERSITY_REPORT: LowDiversity
LOW_DIVERSITY_WIDEN: LowDiversity
LOW_DIVERSITY_STOP: LowDiversity
LOCAL_MOVE_UNSPECIFIED: LocalMove
LOCAL_MOVE_SPHERICAL: LocalMove
LOCAL_MOVE_SEED_OFFSET: LocalMove
STOP_REASON_UNSPECIFIED: StopReason
STOP_REASON_COMPLETED: StopReason
STOP_REASON_NFE: StopReason
STOP_REASON_PICTURES: StopReason
STOP_REASON_VLM_CALLS: StopReason
STOP_REASON_WALL_TIME: StopReason
STOP_REASON_TARGET_REACHED: StopReason
STOP_REASON_LOW_DIVERSITY: StopReason

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

class RunSearchRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "negative_prompt", "sampler", "search", "scorers", "scene_face", "character_face", "budget", "scalarisation", "missing_scores", "request_id", "labels", "priority", "detach", "scene_face_by", "character_face_by", "more_characters", "references", "framing")
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
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SCALARISATION_FIELD_NUMBER: _ClassVar[int]
    MISSING_SCORES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    negative_prompt: str
    sampler: SamplerSettings
    search: SearchSettings
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    scene_face: int
    character_face: int
    budget: Budget
    scalarisation: Scalarisation
    missing_scores: MissingScores
    request_id: str
    labels: _containers.ScalarMap[str, str]
    priority: int
    detach: bool
    scene_face_by: FaceSelector
    character_face_by: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    references: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., sampler: _Optional[_Union[SamplerSettings, _Mapping]] = ..., search: _Optional[_Union[SearchSettings, _Mapping]] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., scene_face: _Optional[int] = ..., character_face: _Optional[int] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., scalarisation: _Optional[_Union[Scalarisation, str]] = ..., missing_scores: _Optional[_Union[MissingScores, str]] = ..., request_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., detach: _Optional[bool] = ..., scene_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., references: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ...) -> None: ...

class CreateSearchRequest(_message.Message):
    __slots__ = ("search",)
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    search: RunSearchRequest
    def __init__(self, search: _Optional[_Union[RunSearchRequest, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("search_id",)
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    def __init__(self, search_id: _Optional[str] = ...) -> None: ...

class DeleteSearchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadImageRequest(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class UploadImageResponse(_message.Message):
    __slots__ = ("image", "size")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    size: int
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("search_id", "state", "request_id", "labels", "priority", "create_time", "start_time", "finish_time", "last_sequence", "result", "failure", "request")
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
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    state: SearchState
    request_id: str
    labels: _containers.ScalarMap[str, str]
    priority: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    finish_time: _timestamp_pb2.Timestamp
    last_sequence: int
    result: SearchFinished
    failure: SearchFailed
    request: RunSearchRequest
    def __init__(self, search_id: _Optional[str] = ..., state: _Optional[_Union[SearchState, str]] = ..., request_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sequence: _Optional[int] = ..., result: _Optional[_Union[SearchFinished, _Mapping]] = ..., failure: _Optional[_Union[SearchFailed, _Mapping]] = ..., request: _Optional[_Union[RunSearchRequest, _Mapping]] = ...) -> None: ...

class PreparePriorRequest(_message.Message):
    __slots__ = ("scene", "character", "scene_face", "character_face", "scene_face_by", "character_face_by", "more_characters", "framing")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    scene_face: int
    character_face: int
    scene_face_by: FaceSelector
    character_face_by: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., scene_face: _Optional[int] = ..., character_face: _Optional[int] = ..., scene_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ...) -> None: ...

class PreparePriorResponse(_message.Message):
    __slots__ = ("prior", "scene", "scene_face", "character_face", "versions", "scene_faces", "character_faces", "frame", "delivered")
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
    prior: Image
    scene: Image
    scene_face: Box
    character_face: Box
    versions: _containers.ScalarMap[str, str]
    scene_faces: _containers.RepeatedCompositeFieldContainer[Box]
    character_faces: _containers.RepeatedCompositeFieldContainer[Box]
    frame: Box
    delivered: Image
    def __init__(self, prior: _Optional[_Union[Image, _Mapping]] = ..., scene: _Optional[_Union[Image, _Mapping]] = ..., scene_face: _Optional[_Union[Box, _Mapping]] = ..., character_face: _Optional[_Union[Box, _Mapping]] = ..., versions: _Optional[_Mapping[str, str]] = ..., scene_faces: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., character_faces: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., frame: _Optional[_Union[Box, _Mapping]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class RenderCandidateRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "negative_prompt", "sampler", "scene_face", "character_face", "recipe", "scene_face_by", "character_face_by", "more_characters", "references", "framing")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    negative_prompt: str
    sampler: SamplerSettings
    scene_face: int
    character_face: int
    recipe: Recipe
    scene_face_by: FaceSelector
    character_face_by: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    references: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., sampler: _Optional[_Union[SamplerSettings, _Mapping]] = ..., scene_face: _Optional[int] = ..., character_face: _Optional[int] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., scene_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., references: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ...) -> None: ...

class RenderCandidateResponse(_message.Message):
    __slots__ = ("picture", "picture_sha256", "steps", "versions", "delivered")
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
    picture: Image
    picture_sha256: str
    steps: int
    versions: _containers.ScalarMap[str, str]
    delivered: Image
    def __init__(self, picture: _Optional[_Union[Image, _Mapping]] = ..., picture_sha256: _Optional[str] = ..., steps: _Optional[int] = ..., versions: _Optional[_Mapping[str, str]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class ScoreImagesRequest(_message.Message):
    __slots__ = ("scene", "character", "mask", "prompt", "scene_face", "character_face", "images", "scorers", "scalarisation", "scene_face_by", "character_face_by", "more_characters", "framing")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    SCALARISATION_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_BY_FIELD_NUMBER: _ClassVar[int]
    MORE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    scene: Image
    character: Image
    mask: Image
    prompt: str
    scene_face: int
    character_face: int
    images: _containers.RepeatedCompositeFieldContainer[Image]
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    scalarisation: Scalarisation
    scene_face_by: FaceSelector
    character_face_by: FaceSelector
    more_characters: _containers.RepeatedCompositeFieldContainer[Image]
    framing: Framing
    def __init__(self, scene: _Optional[_Union[Image, _Mapping]] = ..., character: _Optional[_Union[Image, _Mapping]] = ..., mask: _Optional[_Union[Image, _Mapping]] = ..., prompt: _Optional[str] = ..., scene_face: _Optional[int] = ..., character_face: _Optional[int] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ..., scalarisation: _Optional[_Union[Scalarisation, str]] = ..., scene_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., character_face_by: _Optional[_Union[FaceSelector, _Mapping]] = ..., more_characters: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., framing: _Optional[_Union[Framing, str]] = ...) -> None: ...

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
    __slots__ = ("denoiser_evaluations", "pictures", "vlm_calls", "wall_time", "target_potential")
    DENOISER_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    VLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    TARGET_POTENTIAL_FIELD_NUMBER: _ClassVar[int]
    denoiser_evaluations: int
    pictures: int
    vlm_calls: int
    wall_time: _duration_pb2.Duration
    target_potential: float
    def __init__(self, denoiser_evaluations: _Optional[int] = ..., pictures: _Optional[int] = ..., vlm_calls: _Optional[int] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., target_potential: _Optional[float] = ...) -> None: ...

class SamplerSettings(_message.Message):
    __slots__ = ("steps", "true_cfg_scale", "character_as_reference")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TRUE_CFG_SCALE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_AS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    true_cfg_scale: float
    character_as_reference: bool
    def __init__(self, steps: _Optional[int] = ..., true_cfg_scale: _Optional[float] = ..., character_as_reference: _Optional[bool] = ...) -> None: ...

class PruningRung(_message.Message):
    __slots__ = ("steps_share", "kept_share")
    STEPS_SHARE_FIELD_NUMBER: _ClassVar[int]
    KEPT_SHARE_FIELD_NUMBER: _ClassVar[int]
    steps_share: float
    kept_share: float
    def __init__(self, steps_share: _Optional[float] = ..., kept_share: _Optional[float] = ...) -> None: ...

class PruningSettings(_message.Message):
    __slots__ = ("mode", "rungs")
    MODE_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    mode: PruningMode
    rungs: _containers.RepeatedCompositeFieldContainer[PruningRung]
    def __init__(self, mode: _Optional[_Union[PruningMode, str]] = ..., rungs: _Optional[_Iterable[_Union[PruningRung, _Mapping]]] = ...) -> None: ...

class SearchSettings(_message.Message):
    __slots__ = ("strategy", "global_candidates", "parents", "children_per_parent", "local_rounds", "local_move", "angle", "angle_decay", "seed_radius", "random_seed", "first_seed", "micro_batch", "trajectories", "adaptive_rounds", "fresh_share", "crossover", "pruning", "low_diversity", "score_repeats")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_PER_PARENT_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_MOVE_FIELD_NUMBER: _ClassVar[int]
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    ANGLE_DECAY_FIELD_NUMBER: _ClassVar[int]
    SEED_RADIUS_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEED_FIELD_NUMBER: _ClassVar[int]
    MICRO_BATCH_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORIES_FIELD_NUMBER: _ClassVar[int]
    ADAPTIVE_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    FRESH_SHARE_FIELD_NUMBER: _ClassVar[int]
    CROSSOVER_FIELD_NUMBER: _ClassVar[int]
    PRUNING_FIELD_NUMBER: _ClassVar[int]
    LOW_DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_REPEATS_FIELD_NUMBER: _ClassVar[int]
    strategy: Strategy
    global_candidates: int
    parents: int
    children_per_parent: int
    local_rounds: int
    local_move: LocalMove
    angle: float
    angle_decay: float
    seed_radius: int
    random_seed: int
    first_seed: int
    micro_batch: int
    trajectories: int
    adaptive_rounds: int
    fresh_share: float
    crossover: bool
    pruning: PruningSettings
    low_diversity: LowDiversity
    score_repeats: int
    def __init__(self, strategy: _Optional[_Union[Strategy, str]] = ..., global_candidates: _Optional[int] = ..., parents: _Optional[int] = ..., children_per_parent: _Optional[int] = ..., local_rounds: _Optional[int] = ..., local_move: _Optional[_Union[LocalMove, str]] = ..., angle: _Optional[float] = ..., angle_decay: _Optional[float] = ..., seed_radius: _Optional[int] = ..., random_seed: _Optional[int] = ..., first_seed: _Optional[int] = ..., micro_batch: _Optional[int] = ..., trajectories: _Optional[int] = ..., adaptive_rounds: _Optional[int] = ..., fresh_share: _Optional[float] = ..., crossover: _Optional[bool] = ..., pruning: _Optional[_Union[PruningSettings, _Mapping]] = ..., low_diversity: _Optional[_Union[LowDiversity, str]] = ..., score_repeats: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: SearchEvent
    def __init__(self, event: _Optional[_Union[SearchEvent, _Mapping]] = ...) -> None: ...

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
    code: str
    reason: str
    message: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SearchCancelled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SearchStarted(_message.Message):
    __slots__ = ("search_id", "planned_candidates", "random_seed", "checkpoint", "steps", "scorers")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    PLANNED_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    search_id: str
    planned_candidates: int
    random_seed: int
    checkpoint: str
    steps: int
    scorers: _containers.RepeatedCompositeFieldContainer[ScorerSettings]
    def __init__(self, search_id: _Optional[str] = ..., planned_candidates: _Optional[int] = ..., random_seed: _Optional[int] = ..., checkpoint: _Optional[str] = ..., steps: _Optional[int] = ..., scorers: _Optional[_Iterable[_Union[ScorerSettings, _Mapping]]] = ...) -> None: ...

class PriorReady(_message.Message):
    __slots__ = ("prior", "scene", "evaluation", "scene_face", "character_face", "frame")
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCENE_FACE_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_FACE_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    prior: Image
    scene: Image
    evaluation: Evaluation
    scene_face: Box
    character_face: Box
    frame: Box
    def __init__(self, prior: _Optional[_Union[Image, _Mapping]] = ..., scene: _Optional[_Union[Image, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scene_face: _Optional[_Union[Box, _Mapping]] = ..., character_face: _Optional[_Union[Box, _Mapping]] = ..., frame: _Optional[_Union[Box, _Mapping]] = ...) -> None: ...

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

class Recipe(_message.Message):
    __slots__ = ("terms",)
    TERMS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[RecipeTerm]
    def __init__(self, terms: _Optional[_Iterable[_Union[RecipeTerm, _Mapping]]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("scorer", "value", "failure", "raw", "asked")
    SCORER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    scorer: str
    value: float
    failure: str
    raw: float
    asked: int
    def __init__(self, scorer: _Optional[str] = ..., value: _Optional[float] = ..., failure: _Optional[str] = ..., raw: _Optional[float] = ..., asked: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("candidate_id", "generation", "move", "parents", "recipe", "evaluation", "thumbnail", "done", "best_potential", "picture_sha256", "failure", "stop_step", "picture")
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
    STOP_STEP_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    generation: int
    move: str
    parents: _containers.RepeatedScalarFieldContainer[str]
    recipe: Recipe
    evaluation: Evaluation
    thumbnail: Image
    done: int
    best_potential: float
    picture_sha256: str
    failure: str
    stop_step: int
    picture: Image
    def __init__(self, candidate_id: _Optional[str] = ..., generation: _Optional[int] = ..., move: _Optional[str] = ..., parents: _Optional[_Iterable[str]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., thumbnail: _Optional[_Union[Image, _Mapping]] = ..., done: _Optional[int] = ..., best_potential: _Optional[float] = ..., picture_sha256: _Optional[str] = ..., failure: _Optional[str] = ..., stop_step: _Optional[int] = ..., picture: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

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
    kind: str
    fresh: int
    crossovers: int
    angle: float
    predicted_gain: float
    curvature: float
    def __init__(self, generation: _Optional[int] = ..., best_candidate_id: _Optional[str] = ..., best_potential: _Optional[float] = ..., mean_potential: _Optional[float] = ..., kind: _Optional[str] = ..., fresh: _Optional[int] = ..., crossovers: _Optional[int] = ..., angle: _Optional[float] = ..., predicted_gain: _Optional[float] = ..., curvature: _Optional[float] = ...) -> None: ...

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
    __slots__ = ("best_candidate_id", "best", "recipe", "evaluation", "lineage", "statistics", "timings", "versions", "noise_shape", "stop_reason", "spent", "pareto_front", "gains", "pruning", "diversity", "delivered")
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
    PRUNING_FIELD_NUMBER: _ClassVar[int]
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
    pruning: str
    diversity: Diversity
    delivered: Image
    def __init__(self, best_candidate_id: _Optional[str] = ..., best: _Optional[_Union[Image, _Mapping]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., lineage: _Optional[_Iterable[str]] = ..., statistics: _Optional[_Union[Statistics, _Mapping]] = ..., timings: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., versions: _Optional[_Mapping[str, str]] = ..., noise_shape: _Optional[_Iterable[int]] = ..., stop_reason: _Optional[_Union[StopReason, str]] = ..., spent: _Optional[_Union[Spent, _Mapping]] = ..., pareto_front: _Optional[_Iterable[str]] = ..., gains: _Optional[_Iterable[_Union[ScorerGain, _Mapping]]] = ..., pruning: _Optional[str] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., delivered: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

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
