"""What `clipper.v1.ModelContainerService` does with a message."""

import time

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.model_container import convert
from services.model_runtime.prediction import Answer, Calling


class Servicer:
    """Answers batches."""

    def __init__(self, predictor: Calling, input_type: InputType) -> None:
        self._predictor = predictor
        self._input_type = input_type

    def predict_batch(self, message: bytes) -> bytes:
        """ModelContainerService.PredictBatch: a PredictBatchResponse for a PredictBatchRequest.

        Raises:
            InvalidInput: it is none, or has no inputs.
        """
        request = convert.request(message)
        try:
            batch = convert.batch(request, self._input_type, time.monotonic())
        except InvalidInput as error:
            count = len(request.inputs.lengths)
            if count == 0:
                raise
            answer = Answer.failed(count, str(error))
        else:
            answer = self._predictor.predict(batch)
        return convert.response(request.batch_id, answer)
